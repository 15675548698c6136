"""The compact binary form of states: a header, then the arrays as they lie, little-endian.

```
2 bytes "LH", 1 byte format, 1 byte owner (0 user, 1 item), 8 bytes fingerprint of the layout
int64 count, int64 newest, uint16 number of pending events
float32 sums, float32 tiles, int64 tile            as in `KeyStates`
uint64 items, int64 times, float32 residuals        the first min(count, N) places of the list
per source, in the order of names: float32 mean, float32 upper triangle of the covariance, row by row
uint64 others, int64 times, float32 values          of pending events
```

By default a user takes 1.5 KB and 20 bytes for each of the last N events and for each pending one; an item 38 bytes.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llactr.errors import StoreError
from llactr.history.definition import TILES, HistoryDefinition, StateLayout
from llactr.history.states import KeyStates

__all__ = ["Pending", "decode", "encode"]

_MAGIC, _FORMAT = b"LH", 1
_HEADER = struct.Struct("<2sBBQqqH")
_OWNERS = ("user", "item")

Pending = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float32]]
"""Events that are not folded in yet, in the order of time: (P,) other keys, times, values."""


def encode(layout: StateLayout, states: KeyStates, at: int, pending: Pending) -> bytes:
    """The state number `at`, with its pending events."""
    others, times, values = pending
    if len(times) > 0xFFFF:
        raise StoreError(
            f"a state has {len(times)} pending events, at most 65535 can be kept: give 'history' a shorter "
            "outcome_delay"
        )
    count = int(states.count[at])
    listed = min(count, layout.last)
    owner = _OWNERS.index(layout.owner)
    print_ = int(layout.fingerprint, 16)
    header = _HEADER.pack(_MAGIC, _FORMAT, owner, print_, count, int(states.newest[at]), len(times))
    parts = [
        header,
        _bytes(states.sums[at], "<f4"),
        _bytes(states.tiles[at], "<f4"),
        _bytes(states.tile[at], "<i8"),
        _bytes(states.items[at, :listed], "<u8"),
        _bytes(states.times[at, :listed], "<i8"),
        _bytes(states.residuals[at, :listed], "<f4"),
    ]
    for source, dim in sorted(layout.tastes.items()):
        parts.append(_bytes(states.means[source][at], "<f4"))
        parts.append(_bytes(states.covariances[source][at][np.triu_indices(dim)], "<f4"))
    return b"".join([*parts, _bytes(others, "<u8"), _bytes(times, "<i8"), _bytes(values, "<f4")])


def decode(definition: HistoryDefinition, layout: StateLayout, content: bytes) -> tuple[KeyStates, Pending]:
    """A state (K is 1) and its pending events.

    Raises:
        StoreError: the bytes are no state, are cut off, or belong to another definition.
    """
    if len(content) < _HEADER.size or content[:2] != _MAGIC:
        raise StoreError("stored bytes are not the state of a key's history: run 'llactr materialize --force'")
    _, form, owner, print_, count, newest, waiting = _HEADER.unpack_from(content)
    if form != _FORMAT:
        raise StoreError(
            f"a state of history has format {form}, this version reads {_FORMAT}: run 'llactr materialize --force'"
        )
    if _OWNERS[owner] != layout.owner or print_ != int(layout.fingerprint, 16):
        raise StoreError(
            f"a state of {_OWNERS[owner]}'s history has the definition {print_:016x}, expected {layout.fingerprint} of "
            f"{layout.owner}: the store holds the states of another bundle, run 'llactr materialize --force'"
        )
    states = KeyStates.empty(definition, layout, 1)
    reader = _Reader(content, _HEADER.size)
    listed = min(count, layout.last)
    states.count[0], states.newest[0] = count, newest
    states.sums[0] = reader.take("<f4", len(layout.sums) * 2).reshape(-1, 2)
    states.tiles[0] = reader.take("<f4", len(layout.tiled) * TILES * 2).reshape(-1, TILES, 2)
    states.tile[0] = reader.take("<i8", len(layout.tiled))
    states.items[0, :listed] = reader.take("<u8", listed)
    states.times[0, :listed] = reader.take("<i8", listed)
    states.residuals[0, :listed] = reader.take("<f4", listed)
    for source, dim in sorted(layout.tastes.items()):
        states.means[source][0] = reader.take("<f4", dim)
        rows, columns = np.triu_indices(dim)
        triangle = reader.take("<f4", dim * (dim + 1) // 2)
        states.covariances[source][0][rows, columns] = triangle
        states.covariances[source][0][columns, rows] = triangle
    others, times, values = (reader.take(kind, waiting) for kind in ("<u8", "<i8", "<f4"))
    pending = (others.astype(np.uint64), times.astype(np.int64), values.astype(np.float32))
    reader.finish()
    return states, pending


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at

    def take(self, kind: str, count: int) -> NDArray[np.generic]:
        """The next numbers."""
        size = np.dtype(kind).itemsize * count
        if self._at + size > len(self._content):
            raise StoreError("a state of history is cut off: run 'llactr materialize --force'")
        values = np.frombuffer(self._content, kind, count, self._at)
        self._at += size
        return values

    def finish(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._content):
            raise StoreError("a state of history is longer than it says: run 'llactr materialize --force'")


def _bytes(array: NDArray[np.generic], kind: DTypeLike) -> bytes:
    return np.ascontiguousarray(array, kind).tobytes()
