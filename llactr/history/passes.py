"""One pass over events in the order of time: history fields of rows, snapshots of states, and the newest states.

Keys do not read each other's states, so a pass goes by rank instead of by time: step n folds the event number n of
every key that has one, and gives the fields of every row that n events of its key count for. Items go first, since
users' residuals are relative to the items' rates.

Legend: N events, R rows, K keys, H history fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llactr.history.definition import HistoryDefinition, StateLayout
from llactr.history.events import Events, counts_before
from llactr.history.features import item_features, user_features
from llactr.history.neighbours import Neighbours, NeighbourSums
from llactr.history.states import KeyStates, fold

__all__ = ["history_rows", "neighbours_before", "past_counts", "residuals_of", "states_at", "with_neighbours"]

_KEYS_AT_ONCE = 50_000
_ROWS_AT_ONCE = 8192


def history_rows(
    definition: HistoryDefinition,
    events: Events,
    rows: Events | None = None,
    *,
    neighbour_steps: int = 50,
    frozen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """History fields of rows, each from the events that count for it.

    Cost: a constant number of operations per event and row; memory by keys, `_KEYS_AT_ONCE` users at a time.

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
    found = np.full((len(rows), len(definition.spec.fields)), np.nan, np.float32)
    places = {field.name: at for at, field in enumerate(definition.spec.fields)}

    layout = definition.item
    of_items = states_at(definition, layout, events.item, events.user, events, events.outcome, rows.item, rows.time)
    for states, at in of_items:
        for name, column in item_features(definition, states, rows.time[at]).items():
            found[at, places[name]] = column
    step = _steps(definition, events, rows, neighbour_steps, frozen)
    tables = neighbours_before(definition, events, residuals, step.starts) if step.starts else []
    tables.append(definition.neighbours)
    definitions = [replace(definition, neighbours=table) for table in tables]

    layout = definition.user
    for states, at in states_at(definition, layout, events.user, events.item, events, residuals, rows.user, rows.time):
        for number in np.unique(step.of_rows[at]):
            mine = np.flatnonzero(step.of_rows[at] == number)
            chosen = states if len(mine) == len(at) else states.take(mine)
            values = user_features(definitions[number], chosen, rows.item[at[mine]], rows.time[at[mine]])
            for name, column in values.items():
                found[at[mine], places[name]] = column
    return found


def past_counts(definition: HistoryDefinition, events: Events, rows: Events) -> NDArray[np.int64]:
    """(R,) how many events of a row's user count for it."""
    events = events.counted()
    distinct = np.unique(np.concatenate([events.user, rows.user]))
    codes, row_codes = np.searchsorted(distinct, events.user), np.searchsorted(distinct, rows.user)
    return counts_before(codes, events.time + definition.user.delay_us, row_codes, rows.time)


def residuals_of(definition: HistoryDefinition, events: Events) -> NDArray[np.float32]:
    """(N,) outcome minus the item's smoothed rate by what counted when the event happened; of counted events."""
    found = np.empty(len(events), np.float32)

    for states, at in states_at(
        definition, definition.item, events.item, events.user, events, events.outcome, events.item, events.time
    ):
        pair = states.sums[:, 0].astype(np.float64)
        found[at] = events.outcome[at] - definition.rate(pair[:, 1], pair[:, 0])
    return found


def with_neighbours(definition: HistoryDefinition, events: Events, *, before: int | None = None) -> HistoryDefinition:
    """The definition with the item-item table that a service reads until it is made anew.

    Args:
        definition: of the dataset.
        events: what happened.
        before: a moment in microseconds; events that were known by then count. All of them by default.
    """
    events = events.counted()
    if not len(events):
        return definition
    after = int(events.time.max()) + definition.user.delay_us + 1 if before is None else before
    residuals = residuals_of(definition, events)
    return replace(definition, neighbours=neighbours_before(definition, events, residuals, [after])[0])


def neighbours_before(
    definition: HistoryDefinition, events: Events, residuals: NDArray[np.float32], starts: list[int]
) -> list[Neighbours]:
    """Item-item tables of the counted events known before each of some moments, rising.

    An event is paired with the last N of its user that count for it.
    """
    last = definition.spec.last
    order = np.lexsort((np.arange(len(events)), events.user))  # by user, in the order of time
    user, rank_start = events.user[order], np.zeros(len(events), np.int64)
    firsts = np.flatnonzero(np.append(True, user[1:] != user[:-1])) if len(user) else np.empty(0, np.int64)
    rank_start = np.repeat(firsts, np.diff(np.append(firsts, len(user))))
    codes = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(user))))
    known = events.time + definition.user.delay_us
    seen = counts_before(codes, known[order], codes, events.time[order])
    back = (rank_start + seen)[:, None] - 1 - np.arange(last)  # N x N', the newest first
    present = back >= rank_start[:, None]
    past = order[np.where(present, back, 0)]
    place = np.empty(len(events), np.int64)
    place[order] = np.arange(len(events))
    sums, tables, done = NeighbourSums(np.unique(events.item)), [], 0
    for start in starts:
        upto = int(np.searchsorted(known, start, side="left"))
        if upto > done:
            at = np.arange(done, upto)
            mine = place[at]
            sums.add(events.item[at], residuals[at], events.item[past[mine]], residuals[past[mine]], present[mine])
            done = upto
        tables.append(sums.table())
    return tables


@dataclass(frozen=True)
class _Steps:
    starts: list[int]
    of_rows: NDArray[np.int64]


def _steps(
    definition: HistoryDefinition, events: Events, rows: Events, count: int, frozen: NDArray[np.bool_] | None
) -> _Steps:
    """Moments that cut the events into equal parts, and the part of each row; that behind all is of frozen rows."""
    needed = any(getattr(field, "vectors", None) == "item_item" for field in definition.spec.fields)
    last = np.zeros(len(rows), np.bool_) if frozen is None else frozen
    if not needed or not count or not len(events) or last.all():
        return _Steps([], np.zeros(len(rows), np.int64))
    upto = int(np.searchsorted(events.time, rows.time[~last].max(), side="right")) if last.any() else len(events)
    cuts = np.unique(events.time[np.linspace(0, max(upto - 1, 0), count + 1).astype(np.int64)[:-1]])
    of_rows = (np.searchsorted(cuts, rows.time, side="right") - 1).clip(min=0)
    return _Steps([int(cut) for cut in cuts], np.where(last, len(cuts), of_rows))


def states_at(
    definition: HistoryDefinition,
    layout: StateLayout,
    keys: NDArray[np.uint64],
    others: NDArray[np.uint64],
    events: Events,
    values: NDArray[np.float32],
    row_keys: NDArray[np.uint64],
    now: NDArray[np.int64],
) -> Iterator[tuple[KeyStates, NDArray[np.int64]]]:
    """States as of the rows' moments, some rows at a time, and which rows these are; every row comes once.

    Args:
        definition: of the dataset.
        layout: of the owner of the keys.
        keys: (N,) of the events, which are counted and in the order of time.
        others: (N,) the other keys.
        events: the events.
        values: (N,) residuals or outcomes.
        row_keys: (R,) keys of rows.
        now: (R,) moments of rows.
    """
    distinct = np.unique(np.concatenate([keys, row_keys]))
    codes, row_codes = np.searchsorted(distinct, keys), np.searchsorted(distinct, row_keys)
    for start in range(0, len(distinct), _KEYS_AT_ONCE):
        stop = min(start + _KEYS_AT_ONCE, len(distinct))
        mine = np.flatnonzero((codes >= start) & (codes < stop))
        asked = np.flatnonzero((row_codes >= start) & (row_codes < stop))
        seen = counts_before(
            codes[mine] - start, events.time[mine] + layout.delay_us, row_codes[asked] - start, now[asked]
        )
        counts = np.bincount(codes[mine] - start, minlength=stop - start)
        busiest = np.argsort(-counts, kind="stable")  # keys with the most events first: those of a rank are a prefix
        position = np.empty(len(counts), np.int64)
        position[busiest] = np.arange(len(counts))
        key_position = position[codes[mine] - start]
        rank = _ranks(key_position, len(counts))
        by_rank = mine[np.lexsort((key_position, rank))]
        active = np.bincount(rank, minlength=1) if len(mine) else np.zeros(0, np.int64)
        row_order = np.argsort(seen, kind="stable")
        row_ends = np.searchsorted(seen[row_order], np.arange(len(active) + 1), side="right")
        states = KeyStates.empty(definition, layout, stop - start)
        event_at = row_at = 0
        for number in range(len(active) + 1):
            for chunk in range(row_at, int(row_ends[number]), _ROWS_AT_ONCE):
                at = row_order[chunk : min(chunk + _ROWS_AT_ONCE, int(row_ends[number]))]
                yield states.take(position[row_codes[asked[at]] - start]), asked[at]
            row_at = int(row_ends[number])
            if number == len(active):
                break
            batch = by_rank[event_at : event_at + int(active[number])]
            first = states.first(len(batch))
            fold(definition, layout, first, time=events.time[batch], other=others[batch], value=values[batch])
            event_at += len(batch)


def _ranks(keys: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(N,) how many earlier entries have the same key."""
    order = np.argsort(keys, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=count))[:-1]])
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys)) - starts[keys[order]]
    return ranks
