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
from llactr.history.encoding import PendingEvent, encode_all
from llactr.history.events import Events
from llactr.history.layout import StateLayout
from llactr.history.online import KeyState
from llactr.history.passes import Sided, residuals_of, sided, states_at

__all__ = ["newest_states", "snapshots"]

_TIMESTAMP = pa.timestamp("us", "UTC")


def snapshots(definition: HistoryDefinition, events: Events, *, owner: Literal["user", "item"]) -> Iterator[pa.Table]:
    """A state for every key and moment from which one more event of it counts.

    A row's `event_timestamp` is the first moment that its state holds for, a microsecond after an event became known.
    So an ordinary point-in-time join, which takes a row's own moment in (`<=`), sees what lies strictly before.

    Yields:
        `key` uint64, `event_timestamp`, `state` binary; in no order.
    """
    layout, mine = _of_owner(definition, events, owner)
    known = mine.times + layout.delay_us
    last = np.append((mine.keys[1:] != mine.keys[:-1]) | (known[1:] != known[:-1]), True)[: len(known)]
    keys, moments = mine.keys[last], known[last] + 1
    for states, at in states_at(definition, layout, mine, keys, moments):
        yield pa.table(
            {
                "key": pa.array(keys[at]),
                EVENT_TIMESTAMP: pa.array(moments[at]).cast(_TIMESTAMP),
                STATE: encode_all(layout, states),
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
    layout, mine = _of_owner(definition, events, owner)
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
) -> tuple[StateLayout, Sided]:
    """The layout, and the counted events by key and time."""
    events = events.counted()
    if owner == "user":
        return definition.user, sided(definition.user, events, residuals_of(definition, events))
    return definition.item, sided(definition.item, events)
