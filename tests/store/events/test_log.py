"""The event log: what was written is read, what was cut off does not count, damage is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llactr.errors import StoreError
from llactr.store.events import EventLog, LoggedEvent
from llactr.workspace import Workspace


def event(number: int, **context: object) -> LoggedEvent:
    return LoggedEvent(f"u{number}", "Ärger\n\x00", number, float(number % 2), context or None)


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(Workspace.at(tmp_path), "small")


def read(log: EventLog) -> list[LoggedEvent]:
    return [one for name in log.segments() for frame in log.frames(name) for one in frame.events]


def test_events_come_back_as_they_were_given(log: EventLog) -> None:
    events = [event(0), event(1, device="tv", seconds=1.5), event(2)]
    with log.writer() as writer:
        first = writer.append(events[:2])
        second = writer.append(events[2:])
    assert read(log) == events
    name = writer.name
    assert [frame.end for frame in log.frames(name)] == [first[-1].end, second[-1].end]
    assert log.segments() == {name: second[-1].end}
    assert [frame.events for frame in log.frames(name, first[-1].end)] == [events[2:]]


def test_a_log_without_events_has_no_segment(log: EventLog) -> None:
    with log.writer() as writer:
        assert writer.append([]) == []
    assert log.segments() == {}
    assert not log.folder.exists()


@pytest.mark.parametrize("cut", [1, 7, 8, 30])
def test_a_frame_that_was_cut_off_does_not_count(log: EventLog, cut: int) -> None:
    with log.writer() as writer:
        kept = writer.append([event(0)])[-1].end
        writer.append([event(1), event(2)])
    path = log.folder / f"{writer.name}.log"
    os.truncate(path, kept + cut)
    assert read(log) == [event(0)]


def test_a_last_frame_of_other_bytes_does_not_count(log: EventLog) -> None:
    with log.writer() as writer:
        writer.append([event(0)])
        writer.append([event(1)])
    path = log.folder / f"{writer.name}.log"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert read(log) == [event(0)]


def test_damage_before_the_end_is_said(log: EventLog) -> None:
    with log.writer() as writer:
        writer.append([event(0)])
        writer.append([event(1)])
    path = log.folder / f"{writer.name}.log"
    content = bytearray(path.read_bytes())
    content[12] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged at byte 0: restore it"):
        read(log)


def test_what_a_full_disk_took_half_of_does_not_count_and_the_next_event_does(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = log.writer()
    writer.append([event(0)])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            writer.append([event(1)])
    writer.append([event(2)])
    writer.close()
    assert read(log) == [event(0), event(2)]
    assert len(log.segments()) == 2


def test_users_leave_the_log_and_positions_stay(log: EventLog) -> None:
    with log.writer() as writer:
        writer.append([event(0), event(1, device="tv"), event(2)])
        writer.append([event(1)])
        writer.append([event(3)])
    ends = [frame.end for frame in log.frames(writer.name)]
    assert log.forget_users({"u1"}) == 2
    assert read(log) == [event(0), event(2), event(3)]
    assert [frame.end for frame in log.frames(writer.name)] == ends
    assert b"u1" not in (log.folder / f"{writer.name}.log").read_bytes()
    assert log.forget_users({"u1"}) == 0
