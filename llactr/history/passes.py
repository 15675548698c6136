"""One pass over events: history fields of rows, and states as of moments.

Keys do not read each other's states, so a pass goes key by key, in the order of time within a key: the state of one key
is in memory at a time, besides the events. Items go first, since users' residuals are relative to the items' rates.

Legend: N events, R rows, H history numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llactr.history.compiled.folding import advance
from llactr.history.definition import HistoryDefinition
from llactr.history.events import Events, events_before
from llactr.history.features import item_features, user_features
from llactr.history.layout import StateLayout
from llactr.history.neighbours import NeighbourSums, Spans
from llactr.history.sides import Sided, in_parts, sided, some_of
from llactr.history.states import KeyStates
from llactr.spec.history import HistoryField, TasteField

__all__ = ["history_rows", "past_counts", "residuals_of", "states_at", "states_of_rows", "with_neighbours"]

_BYTES_AT_ONCE = 1 << 22
"""States that are made at once: few enough for a processor's cache."""


def history_rows(
    definition: HistoryDefinition,
    events: Events,
    rows: Events | None = None,
    *,
    neighbour_steps: int = 50,
    frozen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """History fields of rows, each from the events that count for it.

    Cost: a constant number of operations per event and row, besides sorting. Memory: the events, the result, a number
    or two of each, and what the keys that are sorted at once need; with item-item, a few more of each event and row.

    Args:
        definition: of the dataset.
        events: what happened, repeated ones included.
        rows: candidates at moments, whose outcomes are not read; the events themselves by default.
        neighbour_steps: how many times over the events the item-item table is made anew. A row reads the table made
            of events before its step. 0 reads the definition's own table for all rows, as a service does.
        frozen: (R,) rows that read the definition's own table all the same: those after training. The others alone say
            over which events the steps go.

    Returns:
        (R, H) float32; see `features`.
    """
    rows = events if rows is None else rows
    events = events.counted()
    residuals = residuals_of(definition, events)
    found = np.full((len(rows), len(definition.spec.columns)), np.nan, np.float32)
    places = definition.spec.places

    for states, at in states_of_rows(definition, definition.item, events, rows.item, rows.time):
        for name, column in item_features(definition, states, rows.time[at]).items():
            found[at, places[name]] = column
    stepped = np.zeros(len(rows), bool)
    if neighbour_steps and len(events) and _reads_neighbours(definition):
        stepped = np.ones(len(rows), bool) if frozen is None else ~frozen
    for states, at in states_of_rows(definition, definition.user, events, rows.user, rows.time, residuals):
        own_table = not stepped[at].all()
        values = user_features(definition, states, rows.item[at], rows.time[at], item_item=own_table)
        for name, column in values.items():
            found[at, places[name]] = column
    if stepped.any():
        asked = np.flatnonzero(stepped)
        some, upto = rows.take(asked), len(events)
        if len(some) < len(rows):
            upto = int(np.searchsorted(events.time, some.time.max(), side="right"))
        cuts = np.unique(events.time[np.linspace(0, max(upto - 1, 0), neighbour_steps + 1).astype(np.int64)[:-1]])
        column = _neighbours_in_steps(definition, events, sided(definition.user, events, residuals), some, cuts)
        for field in definition.spec.fields:
            if _is_item_item(field):
                found[asked, places[field.name]] = column
    return found


def past_counts(definition: HistoryDefinition, events: Events, rows: Events) -> NDArray[np.int64]:
    """(R,) how many events of a row's user count for it."""
    of_users = sided(definition.user, events.counted())
    order, found = np.lexsort((rows.time, rows.user)), np.empty(len(rows), np.int64)
    known = of_users.times + definition.user.delay_us
    first, end = events_before(of_users.keys, known, rows.user[order], rows.time[order])
    found[order] = end - first
    return found


def residuals_of(definition: HistoryDefinition, events: Events) -> NDArray[np.float32]:
    """(N,) outcome minus the item's smoothed rate by what counted when the event happened; of counted events."""
    found = np.empty(len(events), np.float32)
    for states, at in states_of_rows(definition, definition.item, events, events.item, events.time):
        pair = states.sums[:, 0].astype(np.float64)
        found[at] = events.outcome[at] - definition.rate(pair[:, 1], pair[:, 0])
    return found


def with_neighbours(definition: HistoryDefinition, events: Events, *, before: int | None = None) -> HistoryDefinition:
    """The definition with the item-item table that a service reads until it is made anew.

    Args:
        definition: of the dataset.
        events: what happened.
        before: a moment in microseconds; events that were known before it count. All of them by default.
    """
    events = events.counted()
    if not len(events):
        return definition
    of_users = sided(definition.user, events, residuals_of(definition, events))
    sums = NeighbourSums(np.unique(events.item), of_users.others, of_users.values)
    known = events.time + definition.user.delay_us  # in the order of time
    upto = len(events) if before is None else int(np.searchsorted(known, before, side="left"))
    sums.add(np.argsort(of_users.order)[:upto], _pasts(definition, of_users, events).take(slice(0, upto)))
    return replace(definition, neighbours=sums.table())


def states_of_rows(
    definition: HistoryDefinition,
    layout: StateLayout,
    events: Events,
    row_keys: NDArray[np.uint64],
    now: NDArray[np.int64],
    residuals: NDArray[np.float32] | None = None,
) -> Iterator[tuple[KeyStates, NDArray[np.int64]]]:
    """States as of the rows' moments, as `states_at`, but the events are sorted some keys at a time.

    Args:
        definition: of the dataset.
        layout: of the owner of the keys.
        events: counted ones.
        row_keys: (R,) keys of rows.
        now: (R,) moments of rows.
        residuals: (N,) of the events, for users.
    """
    keys = events.item if layout.owner == "item" else events.user
    for mine, asked in in_parts(keys, row_keys):
        places = asked if isinstance(asked, np.ndarray) else np.arange(len(row_keys))
        part = sided(layout, *some_of(events, residuals, mine))
        for states, at in states_at(definition, layout, part, row_keys[asked], now[asked]):
            yield states, places[at]


def states_at(
    definition: HistoryDefinition,
    layout: StateLayout,
    events: Sided,
    row_keys: NDArray[np.uint64],
    now: NDArray[np.int64],
) -> Iterator[tuple[KeyStates, NDArray[np.int64]]]:
    """States as of the rows' moments, some rows at a time, and which rows these are; every row comes once.

    The states' memory is used again for the next rows.

    Args:
        definition: of the dataset.
        layout: of the owner of the keys.
        events: sorted by key and time.
        row_keys: (R,) keys of rows.
        now: (R,) moments of rows.
    """
    order = np.lexsort((now, row_keys))
    first, end = events_before(events.keys, events.times + layout.delay_us, row_keys[order], now[order])
    plan, blank = definition.plan(layout), KeyStates.empty(definition, layout, 1)
    record, place = KeyStates(blank.records.copy()).bytes[0], np.full(2, -1, np.int64)
    rows = max(64, _BYTES_AT_ONCE // layout.record.itemsize)
    out = KeyStates.empty(definition, layout, min(rows, len(order)))
    for start in range(0, len(order), rows):
        at = order[start : start + rows]
        states = KeyStates(out.records[: len(at)])
        part = slice(start, start + rows)
        advance(
            plan,
            blank.bytes[0],
            record,
            place,
            events.times,
            events.others,
            events.values,
            first[part],
            end[part],
            states.bytes,
        )
        yield states, at


def _neighbours_in_steps(
    definition: HistoryDefinition, events: Events, of_users: Sided, rows: Events, cuts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(R,) what item-item says of rows, each by the pairs of events that were known before its step's beginning."""
    steps = (np.searchsorted(cuts, rows.time, side="right") - 1).clip(min=0)
    sums = NeighbourSums(np.unique(events.item), of_users.others, of_users.values)
    place = np.argsort(of_users.order)  # of counted events among the sorted ones
    pasts, known = _pasts(definition, of_users, events), events.time + definition.user.delay_us
    asked = np.argsort(steps, kind="stable")
    ends = np.searchsorted(steps[asked], np.arange(len(cuts)), side="right")
    of_rows, found, done, row = _pasts(definition, of_users, rows), np.empty(len(rows), np.float32), 0, 0
    for number, cut in enumerate(cuts):
        upto = int(np.searchsorted(known, cut, side="left"))
        sums.add(place[done:upto], pasts.take(slice(done, upto)))
        mine = asked[row : ends[number]]
        found[mine] = sums.of(rows.item[mine], of_rows.take(mine))
        done, row = upto, int(ends[number])
    return found


def _is_item_item(field: HistoryField) -> bool:
    return isinstance(field, TasteField) and field.vectors == "item_item"


def _reads_neighbours(definition: HistoryDefinition) -> bool:
    return any(_is_item_item(field) for field in definition.spec.fields)


def _pasts(definition: HistoryDefinition, of_users: Sided, rows: Events) -> Spans:
    """The last N events before each row, in the rows' order."""
    order = np.lexsort((rows.time, rows.user))
    known = of_users.times + definition.user.delay_us
    low, high = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    first, end = events_before(of_users.keys, known, rows.user[order], rows.time[order])
    low[order], high[order] = np.maximum(first, end - definition.spec.last), end
    return Spans(low, high)
