"""Records into their compact bytes, and back.

Legend: K states, B bytes of a record.
"""

from __future__ import annotations

import numpy as np

from llactr.history.compiled.plan import Bytes, Longs, compiled

__all__ = ["pack", "unpack"]


@compiled
def pack(
    records: Bytes, header: Bytes, head_bytes: int, lists: Longs, listed: Longs, offsets: Longs, out: Bytes
) -> None:
    """Writes each state behind the one before.

    Args:
        records: (K, B).
        header: the bytes before a record.
        head_bytes: of a record before its list.
        lists: (parts, 2) where a part of the list begins in a record, and the bytes of a place in it.
        listed: (K,) places that hold an event.
        offsets: (K,) where each state begins in `out`.
        out: all bytes.
    """
    for row in range(len(records)):
        at = offsets[row]
        out[at : at + len(header)] = header
        at += len(header)
        out[at : at + head_bytes] = records[row, :head_bytes]
        at += head_bytes
        for part in range(len(lists)):
            start, size = lists[part, 0], lists[part, 1] * listed[row]
            out[at : at + size] = records[row, start : start + size]
            at += size


@compiled
def unpack(
    content: Bytes,
    ends: Longs,
    header: Bytes,
    head_bytes: int,
    lists: Longs,
    last: int,
    out: Bytes,
    pending: Longs,
    faults: Longs,
) -> None:
    """Fills records from their bytes.

    Args:
        content: the bytes of K states, one after another; no bytes stand for a state without events.
        ends: (K,) where each ends.
        header: what each begins with; its last two bytes say how many events are pending.
        head_bytes: as in `pack`.
        lists: as in `pack`.
        last: N.
        out: (K, B), the states without events.
        pending: (K, 2) where the pending events begin, and how many they are.
        faults: (K,) 0, or 1 for another header, 2 for bytes that are cut off, 3 for too many.
    """
    start = 0
    for row in range(len(ends)):
        at, size, start = start, ends[row] - start, ends[row]
        faults[row] = pending[row, 0] = pending[row, 1] = 0
        if size == 0:
            continue
        if size < len(header) + head_bytes:
            faults[row] = 2
        for byte in range(min(size, len(header) - 2)):
            if content[at + byte] != header[byte]:
                faults[row] = 1
        if size < len(header):
            faults[row] = 1
        if faults[row] != 0:
            continue
        waiting = np.int64(content[at + len(header) - 2]) + 256 * np.int64(content[at + len(header) - 1])
        at += len(header)
        out[row, :head_bytes] = content[at : at + head_bytes]
        at += head_bytes
        listed = min(out[row, :8].view(np.int64)[0], last)
        missing = at + 20 * (listed + waiting) - start
        if missing != 0:
            faults[row] = 2 if missing > 0 else 3
            continue
        for part in range(len(lists)):
            place, width = lists[part, 0], lists[part, 1] * listed
            out[row, place : place + width] = content[at : at + width]
            at += width
        pending[row, 0], pending[row, 1] = at, waiting
