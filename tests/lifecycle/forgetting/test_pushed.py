"""A user whom only pushed events know is forgotten as well: in the log, in the store, and in the items' states."""

from __future__ import annotations

from pathlib import Path

from llactr.lifecycle.forgetting.users import forget_users
from llactr.store.events import LoggedEvent
from tests.lifecycle.forgetting.bytes import places_of
from tests.store.events.events_workspace import Online, drawn, microseconds

WHO = "somebody-new"


def test_a_user_whom_only_pushed_events_know(tmp_path: Path) -> None:
    online = Online(tmp_path / "ws", None)
    online.fill()
    others = drawn(6)
    theirs = [LoggedEvent(WHO, f"i{n}", microseconds(20 + n), 1.0) for n in (1, 2)]
    pusher = online.pusher()
    pusher.push([*others, *theirs])
    pusher.close()
    assert places_of(WHO, online.workspace.root)
    forget_users(online.workspace, "small", [WHO])
    assert places_of(WHO, online.workspace.root) == []
    pusher = online.pusher()
    pusher.catch_up()
    pusher.close()
    assert online.states() == online.expected(others)
