"""The event log of a dataset: what happened, on the disk before anyone is told so.

Every process that pushes appends to a segment of its own, `events/DATASET/TIME-PID-RANDOM.log` in the workspace. A
segment is a row of frames, each the events of one group commit: one write, one fsync, however many events share it.

```
4 bytes size, 4 bytes CRC-32 of the payload, payload: JSON [[user, item, microseconds, outcome, context or null], ...]
```

A frame that is cut off, or whose sum is wrong, at the end of a segment was never acknowledged: it is left out, and a
segment's writer never writes behind one. Anywhere else it is damage, and is said. A *position* is the number of bytes
of whole frames from the beginning of a segment; segments only grow, so that what was read up to a position is settled.
"""

from __future__ import annotations

import contextlib
import os
import struct
import uuid
import zlib
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from llactr.atomic import flush, make_folder
from llactr.errors import StoreError
from llactr.workspace import Workspace

__all__ = ["EventLog", "Frame", "LoggedEvent", "SegmentWriter"]

_HEAD = struct.Struct("<II")
_FRAME_EVENTS = 4096


class LoggedEvent(NamedTuple):
    """One event, as it was given: keys as text, microseconds since 1970 in UTC, outcome 0 or 1, context by field."""

    user: str
    item: str
    time: int
    outcome: float
    context: dict[str, Any] | None = None


class Frame(NamedTuple):
    """The events of one group commit, and the position behind them."""

    events: list[LoggedEvent]
    end: int


class EventLog:
    """All segments of one dataset.

    Args:
        workspace: where.
        dataset: its name.
    """

    def __init__(self, workspace: Workspace, dataset: str) -> None:
        self.folder = workspace.root / "events" / dataset

    def segments(self) -> dict[str, int]:
        """Segment -> its size in bytes, in the order in which they were begun."""
        try:
            return {path.stem: path.stat().st_size for path in sorted(self.folder.glob("*.log"))}
        except OSError as error:
            raise StoreError(f"the event log {self.folder} cannot be read ({error.strerror}): mend the cause") from None

    def frames(self, segment: str, start: int = 0) -> Iterator[Frame]:
        """The whole frames of a segment from a position on.

        Raises:
            StoreError: a frame before the last one is damaged, or the segment cannot be read.
        """
        path = self.folder / f"{segment}.log"
        try:
            with path.open("rb") as file:
                file.seek(start)
                content = file.read()
        except OSError as error:
            raise StoreError(f"the event log's {path} cannot be read ({error.strerror}): mend the cause") from None
        at = 0
        while at + _HEAD.size <= len(content):
            size, check = _HEAD.unpack_from(content, at)
            end = at + _HEAD.size + size
            if end > len(content):
                return
            payload = content[at + _HEAD.size : end]
            if zlib.crc32(payload) != check:
                if end == len(content):
                    return
                raise StoreError(
                    f"the event log's {path} is damaged at byte {start + at}: restore it from a copy, or "
                    "cut it off there"
                )
            yield Frame([LoggedEvent(*row) for row in orjson.loads(payload)], start + end)
            at = end

    def forget_users(self, users: Collection[str]) -> int:
        """Takes the events of some users out, in place: frames keep their size, so that positions stay what they are.

        Returns:
            how many events were removed.

        Raises:
            StoreError: the log is damaged, or cannot be written.
        """
        removed = 0
        for segment in self.segments():
            start, frames = 0, list(self.frames(segment))
            for frame in frames:
                kept = [event for event in frame.events if event.user not in users]
                if len(kept) < len(frame.events):
                    removed += len(frame.events) - len(kept)
                    self._rewrite(segment, start, frame.end, kept)
                start = frame.end
        return removed

    def _rewrite(self, segment: str, start: int, end: int, events: Sequence[LoggedEvent]) -> None:
        """Puts fewer events into a frame; blanks fill it up."""
        payload = orjson.dumps([tuple(event) for event in events]).ljust(end - start - _HEAD.size)
        path = self.folder / f"{segment}.log"
        try:
            descriptor = os.open(path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, _HEAD.pack(len(payload), zlib.crc32(payload)) + payload, start)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"the event log's {path} cannot be written ({error.strerror}): mend the cause") from None

    def writer(self) -> SegmentWriter:
        """A new segment of this process."""
        return SegmentWriter(self.folder)


class SegmentWriter:
    """Appends to one segment, which begins with the first event. For one thread at a time.

    Args:
        folder: of the log.

    Attributes:
        name: the segment's.
        position: behind the last frame that is on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.position = 0
        self._folder = folder
        self._descriptor: int | None = None

    def append(self, events: Sequence[LoggedEvent]) -> list[Frame]:
        """Adds events; when it returns they are on the disk.

        Raises:
            OSError: they could not be written; none of them counts.
        """
        if not events:
            return []
        descriptor = self._opened()
        frames, pieces, end = [], [], self.position
        for start in range(0, len(events), _FRAME_EVENTS):
            some = list(events[start : start + _FRAME_EVENTS])
            payload = orjson.dumps([tuple(event) for event in some])
            pieces.append(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
            end += len(pieces[-1])
            frames.append(Frame(some, end))
        content = b"".join(pieces)
        try:
            written = 0
            while written < len(content):
                written += os.pwrite(descriptor, content[written:], self.position + written)
            os.fsync(descriptor)
        except OSError:
            self._give_up(descriptor)
            raise
        self.position = end
        return frames

    def close(self) -> None:
        """Ends the segment."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> int:
        if self._descriptor is None:
            make_folder(self._folder)
            path = self._folder / f"{self.name}.log"
            self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            flush(self._folder)
        return self._descriptor

    def _give_up(self, descriptor: int) -> None:
        """What was half written must not count: it is cut off, and the next event begins another segment."""
        with contextlib.suppress(OSError):  # a frame that is cut off at the end of a segment does not count either
            os.ftruncate(descriptor, self.position)
        self.close()
        self.name, self.position = SegmentWriter(self._folder).name, 0
