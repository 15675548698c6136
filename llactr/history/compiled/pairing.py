"""Pairs of items among the same people: sums in a hash table, and what a table of weights says of candidates.

Legend: K states, R rows (K is R or 1), B bytes, N last events, I items, E entries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llactr.history.compiled.plan import LAST, RESIDUALS, Bytes, Doubles, Floats, Longs, compiled

__all__ = ["add_pairs", "neighbour_sums", "past_weights", "rehash"]

_BUCKETS = 1024


@compiled
def neighbour_sums(
    records: Bytes,
    parts: Longs,
    past: Longs,
    here: Longs,
    starts: Longs,
    columns: NDArray[np.int32],
    weights: Floats,
    out: Doubles,
) -> None:
    """Sum over the last events of weight x (residual - their mean), by the root of their number; NaN without a weight.

    Args:
        records: (K, B).
        parts: `Plan.at` of users' layout.
        past: (K, N) places of the last events' items in the table, I where it has none.
        here: (R,) places of the candidates.
        starts: (I + 1,) where an item's neighbours begin.
        columns: (E,) places of neighbours, rising within an item.
        weights: (E,).
        out: (R,).
    """
    last = parts[LAST]
    first, behind = np.empty(_BUCKETS, np.int16), np.empty(last, np.int16)  # past events by the end of their places
    beside, weight_of, listed = np.empty(last), np.zeros(last, np.float32), 0
    for row in range(len(here)):
        state = row if len(records) > 1 else 0
        if row == 0 or len(records) > 1:
            record = records[state]
            listed, own = min(record[:8].view(np.int64)[0], last), 0.0
            residuals = record[parts[RESIDUALS] : parts[RESIDUALS] + 4 * last].view(np.float32)
            for at in range(listed):
                own += residuals[at]
            own = own / (listed + 1.0)
            first[:] = -1
            for at in range(listed):
                beside[at] = residuals[at] - own
                bucket = past[state, at] & (_BUCKETS - 1)
                behind[at], first[bucket] = first[bucket], at
        some = False
        if here[row] < len(starts) - 1:
            for number in range(starts[here[row]], starts[here[row] + 1]):
                event = first[columns[number] & (_BUCKETS - 1)]
                while event >= 0:
                    if past[state, event] == columns[number] and weights[number] != 0:
                        weight_of[event], some = weights[number], True
                    event = behind[event]
        total = 0.0
        if some:
            for at in range(listed):  # in the order of memory, so that a sum does not depend on the table's order
                if weight_of[at] != 0:
                    total += np.float64(weight_of[at]) * beside[at]
                    weight_of[at] = 0
        out[row] = total / np.sqrt(listed + 1.0) if some else np.nan


@compiled
def _slot(keys: Longs, key: int) -> int:
    """Where a key lies, or is to lie, in a table of a power of two of places; -1 is an empty place."""
    mask = len(keys) - 1
    at = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
    while keys[at] != key and keys[at] != -1:
        at = (at + 1) & mask
    return int(at)


@compiled
def rehash(old_keys: Longs, old_sums: Doubles, keys: Longs, sums: Doubles) -> None:
    """Fills a table (`keys` all -1) with the entries of another."""
    for old in range(len(old_keys)):
        at = _slot(keys, old_keys[old])
        keys[at] = old_keys[old]
        sums[at] = old_sums[old]


@compiled
def add_pairs(
    keys: Longs, sums: Doubles, places: Longs, residuals: Floats, rows: Longs, low: Longs, high: Longs, size: int
) -> int:
    """Adds what pairs of an event and those before it say: product of residuals, and 1; returns how many keys are new.

    Args:
        keys: table of pairs: smaller place x I + larger place, -1 where empty.
        sums: (len(keys), 2).
        places: (N,) of events' items, by user and time.
        residuals: (N,).
        rows: which events are paired.
        low: first of the events that each is paired with.
        high: end of those.
        size: I.
    """
    new = 0
    for row in range(len(rows)):
        here = places[rows[row]]
        for past in range(low[row], high[row]):
            there = places[past]
            if there == here:
                continue
            at = _slot(keys, min(here, there) * size + max(here, there))
            if keys[at] == -1:
                keys[at] = min(here, there) * size + max(here, there)
                new += 1
            sums[at, 0] += np.float64(residuals[rows[row]]) * residuals[past]
            sums[at, 1] += 1.0
    return new


@compiled
def past_weights(
    keys: Longs,
    sums: Doubles,
    shrink: float,
    places: Longs,
    residuals: Floats,
    here: Longs,
    low: Longs,
    high: Longs,
    size: int,
    out: Doubles,
) -> None:
    """What `neighbour_sums` gives, (R,), with weights straight from sums and the past as a span of events."""
    for row in range(len(here)):
        total, own, some = 0.0, 0.0, False
        for past in range(low[row], high[row]):
            own += residuals[past]
        own = own / (high[row] - low[row] + 1.0)
        if here[row] < size:
            for past in range(low[row], high[row]):
                there = places[past]
                if there == here[row]:
                    continue
                at = _slot(keys, min(here[row], there) * size + max(here[row], there))
                if keys[at] != -1:
                    weight = np.float32(sums[at, 0] / (sums[at, 1] + shrink))
                    if weight != 0:
                        some = True
                        total += np.float64(weight) * (residuals[past] - own)
        out[row] = total / np.sqrt(high[row] - low[row] + 1.0) if some else np.nan
