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
from llactr.history.definition import HistoryDefinition
from llactr.history.encoding import encode
from llactr.history.events import Events
from llactr.history.online import KeyState
from llactr.history.passes import residuals_of, states_at

__all__ = ["newest_states", "snapshots"]

_NOTHING = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float32))
_TIMESTAMP = pa.timestamp("us", "UTC")


def snapshots(definition: HistoryDefinition, events: Events, *, owner: Literal["user", "item"]) -> Iterator[pa.Table]:
    """A state for every key and moment from which one more event of it counts.

    A row's `event_timestamp` is the first moment that its state holds for, a microsecond after an event became known.
    So an ordinary point-in-time join, which takes a row's own moment in (`<=`), sees what lies strictly before.

    Yields:
        `key` uint64, `event_timestamp`, `state` binary; in no order.
    """
    layout = definition.user if owner == "user" else definition.item
    events = events.counted()
    keys, others, values = _sides(definition, events, owner)
    known = events.time + layout.delay_us
    order = np.lexsort((known, keys))
    first = np.append(True, (keys[order][1:] != keys[order][:-1]) | (known[order][1:] != known[order][:-1]))
    rows = order[first[: len(order)]]
    for states, at in states_at(definition, layout, keys, others, events, values, keys[rows], known[rows] + 1):
        encoded = [encode(layout, states, number, _NOTHING) for number in range(len(states))]
        yield pa.table(
            {
                "key": pa.array(keys[rows][at]),
                EVENT_TIMESTAMP: pa.array(known[rows][at] + 1).cast(_TIMESTAMP),
                STATE: pa.array(encoded, pa.binary()),
            }
        )


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
    layout = definition.user if owner == "user" else definition.item
    events = events.counted()
    mine, others, values = _sides(definition, events, owner)
    if keys is not None:
        wanted = np.flatnonzero(np.isin(mine, keys))
        events, mine, others, values = events.take(wanted), mine[wanted], others[wanted], values[wanted]
    distinct, codes = np.unique(mine, return_inverse=True)
    newest = np.full(len(distinct), np.iinfo(np.int64).min)
    np.maximum.at(newest, codes, events.time)
    waiting = np.flatnonzero(events.time + layout.delay_us >= newest[codes])
    waiting = waiting[np.argsort(codes[waiting], kind="stable")]
    starts = np.searchsorted(codes[waiting], np.arange(len(distinct) + 1))
    for states, at in states_at(definition, layout, mine, others, events, values, distinct, newest):
        for number, key in enumerate(at):
            rows = waiting[starts[key] : starts[key + 1]]
            pending = (others[rows], events.time[rows], values[rows])
            yield int(distinct[key]), KeyState(definition, layout, states.take(np.array([number])), pending)


def _sides(
    definition: HistoryDefinition, events: Events, owner: Literal["user", "item"]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.float32]]:
    """Keys, other keys and values of counted events."""
    if owner == "user":
        return events.user, events.item, residuals_of(definition, events)
    return events.item, events.user, events.outcome
