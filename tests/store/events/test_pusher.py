"""Events that are logged and applied: once each, whoever applies them, and whatever dies in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from llactr.errors import NotReadyError, StoreError
from llactr.history import KeyState
from llactr.store import open_store
from llactr.store.events import EventLog, LoggedEvent, state_store
from llactr.store.events.filling import filling_again
from llactr.store.history import write_states
from tests.store.events.events_workspace import Online, definition_of, drawn, microseconds


class Killed(BaseException):
    """Like a kill: no `except Exception` cleans up."""


def test_the_states_of_offline_events_come_online_with_materialize(online: Online) -> None:
    assert online.states() == online.expected([])


def test_pushed_events_are_in_the_states_when_the_call_returns(everywhere: Online) -> None:
    online = everywhere
    events = drawn(40)
    pusher = online.pusher()
    for start in range(0, 40, 7):
        pushed = pusher.push(events[start : start + 7])
        assert pushed.counted == [True] * len(events[start : start + 7])
        assert online.states() == online.expected(events[: start + 7])
    assert pusher.catch_up() == 0


def test_a_repeated_event_counts_once(online: Online) -> None:
    pusher = online.pusher()
    events = drawn(3)
    assert pusher.push([*events, events[1]]).counted == [True, True, True, False]
    assert pusher.push(events).counted == [False] * 3
    assert online.states() == online.expected(events)


def test_late_events_take_their_place(online: Online) -> None:
    pusher = online.pusher()
    late = LoggedEvent("u1", "i3", microseconds(0.5), 1.0)
    events = [*drawn(5), late]
    pusher.push(events[:5])
    pusher.push(events[5:])
    assert online.states() == online.expected(events)


def test_a_process_that_died_before_it_applied_loses_nothing(online: Online, monkeypatch: pytest.MonkeyPatch) -> None:
    events = drawn(12)
    dying = online.pusher()
    dying.push(events[:5])

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(dying, "_apply", killed)
    with pytest.raises(Killed):
        dying.push(events[5:])
    assert online.states() == online.expected(events[:5])
    other = online.pusher()
    assert other.catch_up() == 7
    assert online.states() == online.expected(events)
    assert other.catch_up() == 0


def test_a_process_that_died_after_it_applied_is_not_applied_again(online: Online) -> None:
    """Far more events of one user and item than the user's last six, so that no list would recognise them."""
    events = [LoggedEvent("u1", "i1", microseconds(10 + n), float(n % 2)) for n in range(40)]
    online.pusher().push(events)
    assert online.pusher().catch_up() == 0
    assert online.states() == online.expected(events)


def test_a_store_that_lost_everything_is_filled_and_the_log_applied(everywhere: Online) -> None:
    online = everywhere
    events = drawn(20)
    online.pusher().push(events)
    store = open_store(online.workspace, config=online.config)
    if "redis" in str(online.config):
        store.provider.online_store._get_client(store.config.online_store).flushall()  # type: ignore[attr-defined]
    else:
        for path in online.workspace.feast.glob("online.db*"):
            path.unlink()
    pusher = online.pusher()
    with pytest.raises(NotReadyError, match="not online as a whole: run 'llactr materialize'"):
        pusher.require_online()
    assert pusher.catch_up() == 0
    online.fill()
    pusher.require_online()
    assert pusher.catch_up() == 20
    assert online.states() == online.expected(events)


def test_materialize_leaves_newer_states_alone(online: Online) -> None:
    events = drawn(10)
    online.pusher().push(events)
    online.fill()
    assert online.states() == online.expected(events)
    assert online.pusher().catch_up() == 0


def test_events_that_came_offline_another_way_are_filled_in_and_the_log_applied_to_them(online: Online) -> None:
    events = drawn(10)
    online.pusher().push(events)
    other = LoggedEvent("u5", "i5", microseconds(5), 1.0)
    online.add_event(other)
    write_states(online.workspace, online.spec, online.definition)
    online.fill()
    assert online.pusher().catch_up() == 10
    assert online.states() == online.expected([other, *events])


def test_two_versions_are_kept_side_by_side(everywhere: Online) -> None:
    online = everywhere
    other = definition_of(delay=30 * 60)
    write_states(online.workspace, online.spec, other)
    events = drawn(15)
    pusher = online.pusher()
    pusher.push(events[:8])
    online.fill()
    both = online.pusher(online.definition, other)
    assert both.catch_up() == 8, "the second version has seen none of them"
    both.push(events[8:])
    assert online.states() == online.expected(events)
    assert online.states(other) == online.expected(events, other)


def test_several_writers_at_once(everywhere: Online) -> None:
    """What is a sum does not depend on who came first; the rest holds each event once."""
    online = everywhere
    groups = [
        [LoggedEvent(f"u{n % 3 + 1}", f"i{m % 2 + 1}", microseconds(20 + 10 * n + m / 10), 1.0) for m in range(30)]
        for n in range(4)
    ]
    pushers = [online.pusher() for _ in groups]
    failures: list[BaseException] = []

    def work(pusher: Any, events: list[LoggedEvent]) -> None:
        try:
            for start in range(0, len(events), 5):
                pusher.push(events[start : start + 5])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(pushers, groups, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    everything = [event for group in groups for event in group]
    found, expected = online.states(), online.expected(everything)
    assert found.keys() == expected.keys()
    for key, content in expected.items():
        mine = found[key]
        assert (mine is None) == (content is None), key
        if content is not None:
            assert mine is not None
            assert _events_of(online, key[0], mine) == _events_of(online, key[0], content), key


def test_writers_in_turn_see_what_the_others_wrote(everywhere: Online) -> None:
    """Each has states at hand, which the other's events make old."""
    online, pushed = everywhere, drawn(24, seed=8)
    pushers = [online.pusher(), online.pusher()]
    for number, event in enumerate(pushed):
        found = pushers[number % 3 % 2].push([event])  # one, the other, the one, the one, ...
        assert found.counted == [True]
    assert pushers[0].push([pushed[4]]).counted == [False]
    assert online.states() == online.expected(pushed)


def test_a_writer_notices_that_the_version_was_filled_anew_or_left_the_store(everywhere: Online) -> None:
    online, pushed = everywhere, drawn(6, seed=9)
    pusher = online.pusher()
    for event in pushed[:4]:
        pusher.push([event])
    with filling_again():
        online.fill()  # the states of before, without what was pushed
    pusher.push([pushed[4]])
    assert online.states() == online.expected(pushed[:5])
    states = state_store(open_store(online.workspace, config=online.config), online.spec)
    before = online.states()
    states.drop(online.version)
    assert pusher.push([pushed[5]]).counted is None
    assert online.states() == before


def _events_of(online: Online, owner: str, content: bytes) -> int:
    layout = online.definition.user if owner == "user" else online.definition.item
    state = KeyState.from_bytes(online.definition, layout, content)
    return int(state.folded.count[0]) + len(state.pending)


def test_a_store_that_is_away_keeps_what_was_logged(online: Online, monkeypatch: pytest.MonkeyPatch) -> None:
    pusher, events = online.pusher(), drawn(6)
    pusher.push(events[:2])

    def away(*_: Any, **__: Any) -> None:
        raise StoreError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(pusher._states, "apply", away)
        with pytest.raises(StoreError, match="away"):
            pusher.push(events[2:4])
    pusher.push(events[4:])
    assert online.states() == online.expected(events), "what was logged before is applied first"


_CHILD = """
import sys
from pathlib import Path
from llactr.store import open_store
from tests.store.events.events_workspace import definition_of, drawn
from llactr.store.events import Pusher
from llactr.spec import load_spec
from llactr.workspace import Workspace
workspace = Workspace.at(sys.argv[1])
spec = load_spec(workspace.dataset("small") / "spec.yaml")
definition = definition_of()
store = open_store(workspace, config=Path(sys.argv[2]))
pusher = Pusher(workspace, spec, store, {definition.version: definition})
for event in drawn(5000, step=0.01):
    pusher.push([event])
    print("acknowledged", flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(everywhere: Online) -> None:
    online = everywhere
    folder = str(Path(__file__).resolve().parents[3])
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(online.workspace.root), str(online.config)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": folder},
        cwd=folder,
    )
    assert child.stdout is not None
    with child.stdout as said:
        acknowledged = sum(1 for _, line in zip(range(25), said, strict=False) if line == b"acknowledged\n")
        child.send_signal(signal.SIGKILL)
        acknowledged += said.read().count(b"acknowledged\n")
    child.wait()
    assert acknowledged >= 25
    online.pusher().catch_up()
    log = EventLog(online.workspace, "small")
    logged = [event for name in log.segments() for frame in log.frames(name) for event in frame.events]
    assert len(logged) >= acknowledged
    assert logged == drawn(5000, step=0.01)[: len(logged)]
    assert online.states() == online.expected(logged)
