"""Events as the states of one owner see them, all at once or some keys at a time.

Legend: N events, R rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.history.events import Events
from llactr.history.layout import StateLayout

__all__ = ["Sided", "in_parts", "sided", "sides", "some_of"]

_ROWS_AT_ONCE = 1 << 21
"""Events, or rows, whose keys are sorted at once, in the mean at the most."""


@dataclass(frozen=True)
class Sided:
    """Counted events as the states of one owner see them, sorted by key and time.

    Attributes:
        keys: (N,) uint64.
        times: (N,) int64.
        others: (N,) uint64.
        values: (N,) float32, residuals for users, outcomes for items.
        order: (N,) places of these among the counted events.
    """

    keys: NDArray[np.uint64]
    times: NDArray[np.int64]
    others: NDArray[np.uint64]
    values: NDArray[np.float32]
    order: NDArray[np.int64]


def sided(layout: StateLayout, events: Events, residuals: NDArray[np.float32] | None = None) -> Sided:
    """The events by key of an owner; users need the residuals."""
    mine, its = (events.item, events.user) if layout.owner == "item" else (events.user, events.item)
    values = events.outcome if residuals is None else residuals
    order = np.argsort(mine, kind="stable")  # counted events are in the order of time
    return Sided(mine[order], events.time[order], its[order], values[order], order)


def sides(layout: StateLayout, events: Events, residuals: NDArray[np.float32] | None = None) -> Iterator[Sided]:
    """The events by key of an owner, some keys at a time; a key is in one of them."""
    keys = events.item if layout.owner == "item" else events.user
    for mine, _ in in_parts(keys, keys[:0]):
        yield sided(layout, *some_of(events, residuals, mine))


def some_of(
    events: Events, residuals: NDArray[np.float32] | None, places: NDArray[np.int64] | slice
) -> tuple[Events, NDArray[np.float32] | None]:
    """Events at some places, with their residuals where there are any."""
    return events.take(places), None if residuals is None else residuals[places]


def in_parts(
    keys: NDArray[np.uint64], row_keys: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.int64] | slice, NDArray[np.int64] | slice]]:
    """Places of the events and of the rows of some keys at a time, rising; all have their turn.

    Hashes are spread evenly, so their first bits cut them into equal parts, but for a key that has much of all.

    Args:
        keys: (N,) of events.
        row_keys: (R,) of rows.
    """
    bits = ((max(len(keys), len(row_keys), 1) - 1) // _ROWS_AT_ONCE).bit_length()
    if bits == 0:
        yield slice(None), slice(None)
        return
    shift = np.uint64(64 - bits)
    for number in range(2**bits):
        yield np.flatnonzero(keys >> shift == number), np.flatnonzero(row_keys >> shift == number)
