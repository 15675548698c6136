"""Snapshots of states: what a key's state was from each moment on, as rows of a table, and the newest of each key.

Legend: N events, K keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP, STATE
from llactr.errors import StoreError
from llactr.history.definition import HistoryDefinition
from llactr.history.encoding import (
    MOST_PENDING,
    PENDING_AT,
    PENDING_BYTES,
    PendingEvent,
    encode_all,
    too_many_pending,
)
from llactr.history.events import Events
from llactr.history.layout import StateLayout
from llactr.history.online import KeyState
from llactr.history.passes import residuals_of, states_at
from llactr.history.sides import Sided, sides

__all__ = ["newest_states", "snapshots"]

_TIMESTAMP = pa.timestamp("us", "UTC")


def snapshots(definition: HistoryDefinition, events: Events, *, owner: Literal["user", "item"]) -> Iterator[pa.Table]:
    """What pushing the events one by one would have left of every key, at each time at which something happened to it.

    A row's `event_timestamp` is the first moment that its state holds for, a microsecond after its newest event. So an
    ordinary point-in-time join, which takes a row's own moment in (`<=`), finds the state that holds, and
    `KeyState.from_bytes(...).at(moment)` the past as it counts. The last row of a key is its newest state.

    Yields:
        `key` uint64, `event_timestamp`, `state` binary; in no order.
    """
    for layout, mine in _of_owner(definition, events, owner):
        yield from _snapshots_of(definition, layout, mine)


def _snapshots_of(definition: HistoryDefinition, layout: StateLayout, mine: Sided) -> Iterator[pa.Table]:
    last = np.append((mine.keys[1:] != mine.keys[:-1]) | (mine.times[1:] != mine.times[:-1]), True)[: len(mine.keys)]
    ends = np.flatnonzero(last) + 1
    begins = np.searchsorted(mine.keys, mine.keys[ends - 1])
    keys, moments = mine.keys[ends - 1], mine.times[ends - 1]
    for states, at in states_at(definition, layout, mine, keys, moments):
        counted = begins[at] + states.count  # events from here on are pending
        yield pa.table(
            {
                "key": pa.array(keys[at]),
                EVENT_TIMESTAMP: pa.array(moments[at] + 1).cast(_TIMESTAMP),
                STATE: _with_pending(encode_all(layout, states), mine, counted, ends[at]),
            }
        )


def _with_pending(states: pa.Array, mine: Sided, first: NDArray[np.int64], end: NDArray[np.int64]) -> pa.Array:
    """Encoded states (K,) with the events `first` to `end` of each as pending ones; see `llactr.history.encoding`."""
    counts = end - first
    if counts.max(initial=0) > MOST_PENDING:
        raise too_many_pending(int(counts.max()))
    sizes = np.diff(np.frombuffer(states.buffers()[1], np.int32, len(states) + 1)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes + PENDING_BYTES * counts)])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise StoreError(f"{len(states)} states take more than 2 GB: encode fewer at once")
    content = np.empty(int(offsets[-1]), np.uint8)
    given = np.frombuffer(states.buffers()[2], np.uint8, int(sizes.sum()))
    content[_ranges(offsets[:-1], sizes)] = given
    content[(offsets[:-1] + PENDING_AT)[:, None] + np.arange(2)] = counts.astype("<u2").view(np.uint8).reshape(-1, 2)
    rows = _ranges(first, counts)  # of all pending events
    number, place = np.repeat(np.arange(len(counts)), counts), _ranges(np.zeros_like(counts), counts)
    start, many = (offsets[:-1] + sizes)[number], counts[number]
    parts = ((0, mine.others, "<u8", 8), (8, mine.times, "<i8", 8), (16, mine.values, "<f4", 4))
    for before, column, kind, size in parts:
        to = (start + before * many + size * place)[:, None] + np.arange(size)
        content[to] = column[rows].astype(kind).view(np.uint8).reshape(-1, size)
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.binary(), len(states), buffers)


def _ranges(first: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from each first one on, so many as its count, one range after another."""
    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(first - starts, counts)


def newest_states(
    definition: HistoryDefinition,
    events: Events,
    *,
    owner: Literal["user", "item"],
    keys: NDArray[np.uint64] | None = None,
) -> Iterator[tuple[int, KeyState]]:
    """Each key's hash with its state after all events: what fills an empty online store.

    It equals what pushing the events one by one would have left.

    Args:
        definition: of the dataset.
        events: what happened.
        owner: whose states.
        keys: hashes of those that are wanted; all by default.
    """
    for layout, mine in _of_owner(definition, events, owner):
        yield from _newest_of(definition, layout, mine, keys)


def _newest_of(
    definition: HistoryDefinition, layout: StateLayout, mine: Sided, keys: NDArray[np.uint64] | None
) -> Iterator[tuple[int, KeyState]]:
    starts = np.flatnonzero(np.append(True, mine.keys[1:] != mine.keys[:-1])[: len(mine.keys)])
    ends = np.append(starts[1:], len(mine.keys))
    wanted = np.ones(len(starts), bool) if keys is None else np.isin(mine.keys[starts], keys)
    starts, ends = starts[wanted], ends[wanted]
    owners, newest = mine.keys[starts], mine.times[ends - 1]
    for states, at in states_at(definition, layout, mine, owners, newest):
        for number, key in enumerate(at):
            waiting = range(int(starts[key]) + int(states.count[number]), int(ends[key]))
            pending = tuple(
                PendingEvent(int(mine.others[row]), int(mine.times[row]), float(mine.values[row])) for row in waiting
            )
            yield int(owners[key]), KeyState(definition, layout, states.take(np.array([number])), pending)


def _of_owner(
    definition: HistoryDefinition, events: Events, owner: Literal["user", "item"]
) -> Iterator[tuple[StateLayout, Sided]]:
    """The layout, and the counted events by key and time, some keys at a time."""
    events = events.counted()
    layout = definition.user if owner == "user" else definition.item
    residuals = residuals_of(definition, events) if owner == "user" else None
    return ((layout, mine) for mine in sides(layout, events, residuals))
