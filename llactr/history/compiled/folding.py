"""Events into states.

Legend: R rows, B bytes, N last events, I items, d = r + 1.
"""

from __future__ import annotations

import numpy as np

from llactr.history.compiled.plan import (
    ITEMS,
    LAST,
    RESIDUALS,
    SUMS,
    TILE,
    TILE_COUNT,
    TILE_SLOTS,
    TIMES,
    Bytes,
    Floats,
    Keys,
    Longs,
    Plan,
    compiled,
)

__all__ = ["advance", "fold", "fold_pending", "lookup", "places_of", "spans"]

_NEVER = np.int64(-(2**63))


@compiled
def lookup(items: Keys, buckets: Longs, shift: np.uint64, key: np.uint64) -> int:
    """Place of a key in `items`, or how many items there are."""
    number = np.int64(key >> shift)
    low, high = buckets[number], buckets[number + 1]
    while low < high:
        middle = (low + high) // 2
        if items[middle] < key:
            low = middle + 1
        else:
            high = middle
    if low < len(items) and items[low] == key:
        return int(low)
    return len(items)


@compiled
def places_of(items: Keys, buckets: Longs, shift: Keys, keys: Keys, out: Longs) -> None:
    """Places (R,) of keys (R,)."""
    for row in range(len(keys)):
        out[row] = lookup(items, buckets, shift[0], keys[row])


@compiled
def _fold_sums(record: Bytes, plan: Plan, time: int, newest: int, clicked: float) -> None:
    at, count = plan.at[SUMS], len(plan.lives)
    sums = record[at : at + 8 * count].view(np.float32)
    for window in range(count):
        old, new, life = 1.0, 1.0, plan.lives[window]
        if life > 0 and newest != _NEVER:
            if time > newest:
                old = 2.0 ** (-(time - newest) / life)
            else:
                new = 2.0 ** (-(newest - time) / life)
        sums[2 * window] = np.float32(np.float64(sums[2 * window]) * old + new)
        sums[2 * window + 1] = np.float32(np.float64(sums[2 * window + 1]) * old + new * clicked)


@compiled
def _fold_tiles(record: Bytes, plan: Plan, time: int, clicked: float) -> None:
    count, tile_count = len(plan.lengths), plan.at[TILE_COUNT]
    newest_tiles = record[plan.at[TILE] : plan.at[TILE] + 8 * count].view(np.int64)
    tiles = record[plan.at[TILE_SLOTS] : plan.at[TILE_SLOTS] + 8 * tile_count * count].view(np.float32)
    for window in range(count):
        tile, newest = time // plan.lengths[window], newest_tiles[window]
        start = window * tile_count
        for back in range(tile_count):  # tiles between the newest so far and this one start from nothing
            number = tile - back
            if number > newest:
                slot = 2 * (start + number % tile_count)
                tiles[slot] = 0
                tiles[slot + 1] = 0
        if newest == _NEVER or tile > newest - tile_count:
            slot = 2 * (start + tile % tile_count)
            tiles[slot] = np.float32(tiles[slot] + 1.0)
            tiles[slot + 1] = np.float32(tiles[slot + 1] + clicked)
        newest_tiles[window] = max(newest, tile)


@compiled
def _fold_list(record: Bytes, plan: Plan, time: int, other: np.uint64, value: np.float32) -> None:
    head = record[:16].view(np.int64)
    count, newest, last = head[0], head[1], plan.at[LAST]
    items = record[plan.at[ITEMS] : plan.at[ITEMS] + 8 * last].view(np.uint64)
    times = record[plan.at[TIMES] : plan.at[TIMES] + 8 * last].view(np.int64)
    residuals = record[plan.at[RESIDUALS] : plan.at[RESIDUALS] + 4 * last].view(np.float32)
    start = count % last  # the oldest event, or an empty place, is there
    where = last
    if time < newest:  # late: it goes behind those that are not newer, which lie from `start` on in the order of time
        while where > 0 and times[(start + where - 1) % last] > time:
            where -= 1
    oldest_item, oldest_time, oldest_residual = items[start], times[start], residuals[start]
    for number in range(last - 1, where - 1, -1):
        target, source = (start + 1 + number) % last, (start + number) % last
        if number == 0:
            items[target], times[target], residuals[target] = oldest_item, oldest_time, oldest_residual
        else:
            items[target], times[target], residuals[target] = items[source], times[source], residuals[source]
    if where > 0:
        target = (start + where) % last
        items[target], times[target], residuals[target] = other, time, value


@compiled
def _fold_taste(record: Bytes, plan: Plan, source: int, place: int, residual: np.float32) -> None:
    """Rank-one update of the posterior of residual = w z + bias + noise of variance 1 (Kalman's, without drift)."""
    dim, mean_at, covariance_at, table_at = plan.tastes[source]
    mean = record[mean_at : mean_at + 4 * dim].view(np.float32)
    covariance = record[covariance_at : covariance_at + 2 * dim * (dim + 1)].view(np.float32)  # upper triangle
    x, gain = np.ones(dim), np.zeros(dim)
    start = table_at + place * (dim - 1)
    for i in range(dim - 1):
        x[i] = plan.table[start + i]
    k = 0
    for i in range(dim):
        total = gain[i] + covariance[k] * x[i]
        k += 1
        for j in range(i + 1, dim):
            total += covariance[k] * x[j]
            gain[j] += covariance[k] * x[i]
            k += 1
        gain[i] = total
    spread, error = 1.0, np.float64(residual)
    for i in range(dim):
        spread += gain[i] * x[i]
        error -= mean[i] * x[i]
    k = 0
    for i in range(dim):
        mean[i] = np.float32(mean[i] + gain[i] * (error / spread))
        scaled = gain[i] / spread
        for j in range(i, dim):
            covariance[k] = np.float32(covariance[k] - gain[j] * scaled)
            k += 1


@compiled
def _fold_pair(record: Bytes, plan: Plan, pair: int, place: int, time: int, newest: int, clicked: float) -> None:
    """Counts the item's values. One more than there is place for takes the place of the least frequent, the first."""
    values_at, numbers_at, size, starts_at = plan.pairs[pair]
    values = record[values_at : values_at + 4 * size].view(np.uint32)
    numbers = record[numbers_at : numbers_at + 8 * size].view(np.float32)
    new, life = 1.0, plan.pair_lives[pair]
    if life > 0 and newest != _NEVER:
        if time > newest:
            old = 2.0 ** (-(time - newest) / life)
            for at in range(2 * size):
                numbers[at] = np.float32(numbers[at] * old)
        else:
            new = 2.0 ** (-(newest - time) / life)
    for number in range(plan.starts[starts_at + place], plan.starts[starts_at + place + 1]):
        value = plan.values[number]
        slot, least = -1, 0
        for at in range(size):
            if values[at] == value or values[at] == 0:
                slot = at
                break
            if numbers[2 * at] < numbers[2 * least]:
                least = at
        if slot < 0:
            slot = least
            numbers[2 * slot] = 0
            numbers[2 * slot + 1] = 0
        values[slot] = value
        numbers[2 * slot] = np.float32(numbers[2 * slot] + new)
        numbers[2 * slot + 1] = np.float32(numbers[2 * slot + 1] + new * clicked)


@compiled
def fold(record: Bytes, plan: Plan, time: int, other: np.uint64, value: np.float32) -> None:
    """Folds one event into one record (B,), in place. Cost: O(d^2) a source of vectors, whatever the key's past.

    Args:
        record: the state.
        plan: of its layout.
        time: microseconds.
        other: hash of the item, for users; of the user, for items.
        value: residual for users, outcome for items; positive for a click either way.
    """
    head = record[:16].view(np.int64)
    newest = head[1]
    clicked = 1.0 if value > 0 else 0.0
    _fold_sums(record, plan, time, newest, clicked)
    _fold_tiles(record, plan, time, clicked)
    if plan.at[LAST] > 0:
        _fold_list(record, plan, time, other, value)
    if len(plan.tastes) + len(plan.pairs) > 0:
        place = lookup(plan.items, plan.buckets, plan.shift[0], other)
        for source in range(len(plan.tastes)):
            _fold_taste(record, plan, source, place, value)
        for pair in range(len(plan.pairs)):
            _fold_pair(record, plan, pair, place, time, newest, clicked)
    head[0] += 1
    head[1] = max(newest, time)


@compiled
def fold_pending(records: Bytes, plan: Plan, content: Bytes, pending: Longs, before: Longs) -> None:
    """Folds the pending events of states (K, B) that happened before each one's moment.

    Args:
        records: changed in place.
        plan: of their layout.
        content: bytes that hold the events: all other keys, all times, all values.
        pending: (K, 2) where those of a state begin, and how many they are.
        before: (K,) microseconds.
    """
    for row in range(len(records)):
        start, count = pending[row]
        events = np.empty(20 * count, np.uint8)
        events[:] = content[start : start + 20 * count]
        others, times = events[: 8 * count].view(np.uint64), events[8 * count : 16 * count].view(np.int64)
        values = events[16 * count :].view(np.float32)
        for number in range(count):
            if times[number] < before[row]:
                fold(records[row], plan, times[number], others[number], values[number])


@compiled
def spans(event_keys: Keys, known: Longs, row_keys: Keys, now: Longs, first: Longs, end: Longs) -> None:
    """Which events count for each row: those of its key that are known strictly before it, `first` to `end`.

    Events are sorted by (key, known), rows by (key, now).
    """
    start = at = 0
    for row in range(len(row_keys)):
        key = row_keys[row]
        if start >= len(event_keys) or event_keys[start] != key:
            start = at
            while start < len(event_keys) and event_keys[start] < key:
                start += 1
            at = start
        while at < len(event_keys) and event_keys[at] == key and known[at] < now[row]:
            at += 1
        first[row], end[row] = start, at


@compiled
def advance(
    plan: Plan,
    blank: Bytes,
    record: Bytes,
    place: Longs,
    time: Longs,
    others: Keys,
    values: Floats,
    first: Longs,
    end: Longs,
    out: Bytes,
) -> None:
    """The states (R, B) of rows: folds the events `first` to `end` of each.

    Args:
        plan: of the layout.
        blank: (B,) the state without events.
        record: (B,) the state of the running key; carried from call to call.
        place: (2,) its first event and the next one to fold; -1 before the first call.
        time: (N,) of the events, as `spans` saw them.
        others: (N,).
        values: (N,).
        first: (R,).
        end: (R,).
        out: (R, B).
    """
    for row in range(len(first)):
        if first[row] != place[0]:
            record[:] = blank
            place[0] = place[1] = first[row]
        while place[1] < end[row]:
            fold(record, plan, time[place[1]], others[place[1]], values[place[1]])
            place[1] += 1
        out[row] = blank if first[row] == end[row] else record
