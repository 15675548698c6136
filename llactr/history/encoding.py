"""The compact binary form of states: a header, then the record as it lies, little-endian, without empty places.

```
2 bytes "LH", 1 byte format, 1 byte owner (0 user, 1 item), 8 bytes fingerprint of the layout, uint16 pending events
the record's numbers up to its list                 as in `KeyStates`
uint64 items, int64 times, float32 residuals        the first min(count, N) places of the list
uint64 others, int64 times, float32 values          of pending events
```

By default a user takes 1.5 KB and 20 bytes for each of the last N events and for each pending one; an item 38 bytes.

Legend: K states.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.errors import StoreError
from llactr.history.compiled.folding import fold_pending
from llactr.history.compiled.packing import pack, unpack
from llactr.history.definition import HistoryDefinition
from llactr.history.layout import NEVER, StateLayout
from llactr.history.states import KeyStates

__all__ = [
    "MOST_PENDING", "PENDING_AT", "PENDING_BYTES", "Decoded", "Pending", "PendingEvent", "decode", "encode",
    "encode_all", "too_many_pending",
]  # fmt: skip

_MAGIC, _FORMAT = b"LH", 2
_HEADER = struct.Struct("<2sBBQH")
_COUNT = struct.Struct("<q")
_OWNERS = ("user", "item")
MOST_PENDING, PENDING_AT, PENDING_BYTES = 0xFFFF, 12, 20
"""How many events may be pending, where in a state this number stands, and how many bytes each takes."""
_MEND = "run 'llactr materialize --force'"


class PendingEvent(NamedTuple):
    """An event that is not folded in yet: hash of the other key, microseconds, residual or outcome."""

    other: int
    time: int
    value: float


Pending = tuple[PendingEvent, ...]
"""Events that are not folded in yet, in the order of time."""


def encode(layout: StateLayout, states: KeyStates, pending: Pending) -> bytes:
    """The state (K is 1) with its pending events."""
    if len(pending) > MOST_PENDING:
        raise too_many_pending(len(pending))
    raw = states.records.tobytes()
    parts = [_header(layout, len(pending)), raw[: layout.head_bytes]]
    listed = min(_COUNT.unpack_from(raw)[0], layout.last)
    for start, size in layout.lists.tolist():
        parts.append(raw[start : start + size * listed])
    if pending:
        others, times, values = zip(*pending, strict=True)
        number = len(pending)
        parts.append(struct.pack(f"<{number}Q{number}q{number}f", *others, *times, *values))
    return b"".join(parts)


def too_many_pending(count: int) -> StoreError:
    """What to say of a state that cannot be kept."""
    return StoreError(
        f"a state has {count} pending events, at most {MOST_PENDING} can be kept: give 'history' a shorter "
        "outcome_delay"
    )


def encode_all(layout: StateLayout, states: KeyStates) -> pa.Array:
    """(K,) binary: every state, without pending events."""
    listed = np.minimum(states.count, layout.last).astype(np.int64)
    sizes = _HEADER.size + layout.head_bytes + 20 * listed
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise StoreError(f"{len(states)} states take more than 2 GB: encode fewer at once")
    content = np.empty(int(offsets[-1]), np.uint8)
    header = np.frombuffer(bytearray(_header(layout, 0)), np.uint8)
    pack(states.bytes, header, layout.head_bytes, layout.lists, listed, offsets, content)
    return pa.Array.from_buffers(
        pa.binary(), len(states), [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(content)]
    )


@dataclass(frozen=True)
class Decoded:
    """States and what they say of pending events.

    Attributes:
        states: K.
        content: all bytes.
        pending: (K, 2) int64, where the pending events of a state begin in `content`, and how many they are.
    """

    states: KeyStates
    content: NDArray[np.uint8]
    pending: NDArray[np.int64]

    def as_of(
        self, definition: HistoryDefinition, layout: StateLayout, places: NDArray[np.int64], now: NDArray[np.int64]
    ) -> KeyStates:
        """States of R rows as of their moments, with the pending events that are known strictly before these.

        Args:
            definition: of the states.
            layout: of their owner.
            places: (R,) which state each row reads.
            now: (R,) microseconds.
        """
        states = self.states.take(places)
        before = now - layout.delay_us
        fold_pending(states.bytes, definition.plan(layout), self.content, self.pending[places], before)
        return states

    def settled(self, definition: HistoryDefinition, layout: StateLayout) -> tuple[KeyStates, NDArray[np.int64]]:
        """The states with all pending events, and after which moment each is that: (K,), the least int64 for any.

        A state as of a later moment than its own is this one, to the bit.
        """
        after = np.full(len(self.states), NEVER)
        waiting = np.flatnonzero(self.pending[:, 1])
        if not len(waiting):
            return self.states, after
        starts, counts = self.pending[waiting].T
        newest = (starts + 16 * counts - 8)[:, None] + np.arange(8)  # bytes of the last one's time
        after[waiting] = self.content[newest].view(np.int64)[:, 0] + layout.delay_us
        everything = np.full(len(self.states), np.iinfo(np.int64).max)
        return self.as_of(definition, layout, np.arange(len(self.states)), everything), after

    def pending_of(self, number: int) -> Pending:
        """The pending events of one state."""
        start, count = self.pending[number].tolist()
        if not count:
            return ()
        numbers = struct.unpack_from(f"<{count}Q{count}q{count}f", self.content.data, start)
        return tuple(PendingEvent(*numbers[event::count]) for event in range(count))


def decode(definition: HistoryDefinition, layout: StateLayout, contents: Sequence[bytes | None]) -> Decoded:
    """States (K); None stands for a key that nothing is known of.

    Raises:
        StoreError: some bytes are no state, are cut off, or belong to another definition.
    """
    if any(content == b"" for content in contents):
        raise _fault(layout, b"", 1)
    given = [content or b"" for content in contents]
    joined = np.frombuffer(bytearray(b"".join(given)), np.uint8)
    ends = np.fromiter(map(len, given), np.int64, len(given)).cumsum()
    states = KeyStates.empty(definition, layout, len(given))
    pending, faults = np.empty((len(given), 2), np.int64), np.empty(len(given), np.int64)
    header = np.frombuffer(bytearray(_header(layout, 0)), np.uint8)
    unpack(joined, ends, header, layout.head_bytes, layout.lists, layout.last, states.bytes, pending, faults)
    for number in np.flatnonzero(faults):
        raise _fault(layout, given[number], int(faults[number]))
    return Decoded(states, joined, pending)


def _fault(layout: StateLayout, content: bytes, fault: int) -> StoreError:
    """What is wrong with the bytes of a state."""
    if fault != 1:
        return StoreError(f"a state of history is {'cut off' if fault == 2 else 'longer than it says'}: {_MEND}")
    if len(content) < _HEADER.size or content[:2] != _MAGIC:
        return StoreError(f"stored bytes are not the state of a key's history: {_MEND}")
    _, form, owner, print_, _ = _HEADER.unpack_from(content)
    if form != _FORMAT:
        return StoreError(f"a state of history has format {form}, this version reads {_FORMAT}: {_MEND}")
    found = _OWNERS[owner] if owner < len(_OWNERS) else "nobody"
    return StoreError(
        f"a state of {found}'s history has the definition {print_:016x}, expected {layout.fingerprint} of "
        f"{layout.owner}: the store holds the states of another bundle, {_MEND}"
    )


def _header(layout: StateLayout, pending: int) -> bytes:
    return _HEADER.pack(_MAGIC, _FORMAT, _OWNERS.index(layout.owner), int(layout.fingerprint, 16), pending)
