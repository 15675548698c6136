"""What a state knows of a key's past, in a form that can be written down and compared: totals, and the last events.

A state's own bytes hold sums whose last digits depend on the order in which events arrived; which events are in it does
not. Legend: K states, R rows, N last events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.history.definition import HistoryDefinition
from llactr.history.events import Events
from llactr.history.layout import StateLayout
from llactr.history.passes import residuals_of, states_of_rows
from llactr.history.states import KeyStates

__all__ = ["LAST_EVENTS", "Fingerprints", "event_totals", "fingerprints", "fingerprints_at"]

LAST_EVENTS = pa.list_(pa.struct({"item": pa.uint64(), "time": pa.timestamp("us", "UTC"), "clicked": pa.bool_()}))
"""The last events of a user, oldest first: hash of the item's key, when, and what came of it; 17 bytes an event."""


@dataclass(frozen=True)
class Fingerprints:
    """Of K states.

    Attributes:
        totals: (K, 2) float64, how many events are in each, and how many of them were clicks.
        last: (K,) `LAST_EVENTS`; empty for items, of which no list is kept.
    """

    totals: NDArray[np.float64]
    last: pa.ListArray


def event_totals(states: KeyStates) -> NDArray[np.float64]:
    """(K, 2) events and clicks of all time in states as of a moment."""
    return np.stack([states.count, states.sums[:, 0, 1]], 1).astype(np.float64)


def fingerprints(layout: StateLayout, states: KeyStates) -> Fingerprints:
    """Of states as of a moment."""
    listed = np.arange(layout.last) < np.minimum(states.count, layout.last)[:, None]  # (K, N)
    rows = np.nonzero(listed)[0]
    items, times = states.items[listed], states.times[listed]
    order = np.lexsort((items, times, rows))
    clicked = states.records["residuals"][listed][order] > 0
    offsets = np.concatenate([[0], np.cumsum(listed.sum(1))]).astype(np.int32)
    parts = [
        pa.array(items[order], pa.uint64()),
        pa.array(times[order], pa.int64()).cast(LAST_EVENTS.value_type.field("time").type),
        pa.array(clicked, pa.bool_()),
    ]
    flat = pa.StructArray.from_arrays(parts, fields=list(LAST_EVENTS.value_type))
    return Fingerprints(event_totals(states), pa.ListArray.from_arrays(pa.array(offsets), flat))


def fingerprints_at(
    definition: HistoryDefinition,
    events: Events,
    keys: NDArray[np.uint64],
    now: NDArray[np.int64],
    *,
    owner: Literal["user", "item"],
) -> Fingerprints:
    """What the states of keys should have known at some moments, by one pass over events.

    Args:
        definition: of the states.
        events: what happened, repeated ones included.
        keys: (R,) hashes of users' or items' keys.
        now: (R,) moments in microseconds.
        owner: whose keys.
    """
    events = events.counted()
    layout = definition.user if owner == "user" else definition.item
    residuals = residuals_of(definition, events) if owner == "user" else None
    totals = np.empty((len(keys), 2))
    lists, places = [pa.array([], LAST_EVENTS)], [np.empty(0, np.int64)]
    for states, at in states_of_rows(definition, layout, events, keys, now, residuals):
        some = fingerprints(layout, states)
        totals[at] = some.totals
        lists.append(some.last)
        places.append(at)
    order = np.argsort(np.concatenate(places))
    return Fingerprints(totals, pa.concat_arrays(lists).take(pa.array(order)))
