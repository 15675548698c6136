"""The doctor says when the states of a history are behind: offline, online, or the log of pushed events."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llactr.lifecycle.standing import states_standing
from llactr.manifest import hash_once
from llactr.store import REPOSITORY, materialize
from llactr.store.events import EventLog
from llactr.store.events.offline import event_rows
from llactr.store.history import write_states
from tests.store.events.events_workspace import Online, drawn


@pytest.fixture
def online(tmp_path: Path) -> Online:
    made = Online(tmp_path / "ws", REPOSITORY / "feature_store.yaml")
    made.fill()
    return made


def said(online: Online) -> list[tuple[str, str]]:
    return [(one.said, one.do) for one in states_standing(online.workspace, online.spec, online.version)]


def take_in(online: Online) -> None:
    """As 'llactr push' leaves the dataset: a file of the logged events, and the note of how far the log is in it."""
    log = EventLog(online.workspace, online.spec.name)
    events = [event for name in log.segments() for frame in log.frames(name) for event in frame.events]
    folder = online.workspace.offline_table(online.spec.name, "events")
    draft = folder.parent / "draft.parquet"
    pq.write_table(event_rows(online.spec, events), draft)
    digest = hash_once(draft)
    (log.folder / "taken.json").write_text(json.dumps({digest: log.segments()}))
    draft.rename(folder / f"part-00009-{digest[:8]}.parquet")


def test_states_are_followed_from_offline_to_online(online: Online) -> None:
    assert said(online) == [(f"its states {online.version} hold all events, offline and online", "")]
    (event,) = drawn(1)
    online.add_event(event)
    assert said(online) == [
        ("its states do not hold 1 events that came since, the newest of 2024-01-02 10:00", "run 'llactr materialize'")
    ]
    write_states(online.workspace, online.spec, online.definition)
    assert said(online) == [
        ("its states offline hold events that those online do not", "run 'llactr materialize'")
    ]  # fmt: skip
    materialize(online.workspace, config=online.config)
    assert [do for _, do in said(online)] == [""]


def test_pushed_events_are_followed_into_states_and_dataset(online: Online) -> None:
    with EventLog(online.workspace, online.spec.name).writer() as writer:
        writer.append(drawn(3))
    assert [one for one, _ in said(online)] == [
        "3 pushed events are logged and not in its states online", "3 pushed events are not in the dataset yet"
    ]  # fmt: skip
    online.pusher().catch_up()
    assert said(online) == [("3 pushed events are not in the dataset yet", "run 'llactr push'")]
    take_in(online)
    assert [do for _, do in said(online)] == [""]
    with EventLog(online.workspace, online.spec.name).writer() as writer:
        writer.append(drawn(3)[:1])  # a client sends one again, whose answer was lost
    online.pusher().catch_up()
    assert [do for _, do in said(online)] == [""], "it is in the dataset: 'llactr push' would add nothing"


def test_states_that_nobody_has_are_missed(online: Online) -> None:
    found = list(states_standing(online.workspace, online.spec, "0123456789abcdef"))
    assert [(one.state, one.said) for one in found] == [
        ("look", "there are no states of its history 0123456789abcdef offline")
    ]
