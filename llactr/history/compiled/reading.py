"""What states say of candidates.

Legend: K states, R rows (K is R or 1), B bytes, N last events, I items, r rank.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llactr.history.compiled.plan import (
    LAST,
    RESIDUALS,
    SUMS,
    TILE,
    TILE_COUNT,
    TILE_SLOTS,
    TIMES,
    Bytes,
    Doubles,
    Floats,
    Longs,
    Plan,
    compiled,
)

__all__ = ["cosines", "likeness", "pair_windows", "recent", "regression", "sequence", "window_sums"]


@compiled
def _own_mean(record: Bytes, parts: Longs) -> float:
    """Mean residual of the last events and one of 0, which draws to 0 what rests on little."""
    last, count = parts[LAST], record[:8].view(np.int64)[0]
    residuals = record[parts[RESIDUALS] : parts[RESIDUALS] + 4 * last].view(np.float32)
    listed, total = min(count, last), 0.0
    for at in range(listed):
        total += residuals[at]
    return total / (listed + 1.0)


@compiled
def recent(records: Bytes, parts: Longs, out: Doubles) -> None:
    """How the last events of states (K,) went: `_own_mean`; `parts` is `Plan.at`."""
    for row in range(len(records)):
        out[row] = _own_mean(records[row], parts)


@compiled
def window_sums(
    records: Bytes, parts: Longs, lives: Doubles, lengths: Longs, tiled: bool, window: int, now: Longs, out: Doubles
) -> None:
    """Impressions and clicks (R, 2) of one window as of each row's moment; three parts of a `Plan` come first."""
    for row in range(len(now)):
        record = records[row if len(records) > 1 else 0]
        head = record[:16].view(np.int64)
        out[row, 0] = out[row, 1] = 0
        if head[0] == 0:
            continue
        if tiled:
            count = parts[TILE_COUNT]
            newest = record[parts[TILE] : parts[TILE] + 8 * len(lengths)].view(np.int64)[window]
            start = parts[TILE_SLOTS] + 8 * count * window
            tiles = record[start : start + 8 * count].view(np.float32)
            oldest = now[row] // lengths[window] - count  # this tile and those before it are out
            for back in range(count):
                if newest - back > oldest:
                    slot = 2 * ((newest - back) % count)
                    out[row, 0] += tiles[slot]
                    out[row, 1] += tiles[slot + 1]
        else:
            start = parts[SUMS] + 8 * window
            sums = record[start : start + 8].view(np.float32)
            kept = 1.0
            if lives[window] > 0:
                kept = 2.0 ** (-(now[row] - head[1]) / lives[window])
            out[row, 0], out[row, 1] = sums[0] * kept, sums[1] * kept


@compiled
def pair_windows(records: Bytes, plan: Plan, pair: int, places: Longs, now: Longs, out: Doubles) -> None:
    """Impressions and clicks of one pair window, summed over the candidate's values, and how many these are: (R, 3)."""
    values_at, numbers_at, size, starts_at = plan.pairs[pair]
    for row in range(len(now)):
        record = records[row if len(records) > 1 else 0]
        values = record[values_at : values_at + 4 * size].view(np.uint32)
        numbers = record[numbers_at : numbers_at + 8 * size].view(np.float32)
        count = clicks = 0.0
        low, high = plan.starts[starts_at + places[row]], plan.starts[starts_at + places[row] + 1]
        for number in range(low, high):
            for at in range(size):
                if values[at] == 0:
                    break
                if values[at] == plan.values[number]:
                    count += numbers[2 * at]
                    clicks += numbers[2 * at + 1]
                    break
        kept = 1.0
        if plan.pair_lives[pair] > 0 and count > 0:
            kept = 2.0 ** (-(now[row] - record[:16].view(np.int64)[1]) / plan.pair_lives[pair])
        out[row, 0], out[row, 1], out[row, 2] = count * kept, clicks * kept, high - low


@compiled
def regression(records: Bytes, plan: Plan, source: int, places: Longs, deviation: bool, out: Doubles) -> None:
    """What each candidate's vector adds by the regression (R,), or the standard deviation of that."""
    dim, mean_at, covariance_at, table_at = plan.tastes[source]
    for row in range(len(places)):
        record = records[row if len(records) > 1 else 0]
        z = plan.table[table_at + places[row] * (dim - 1) : table_at + (places[row] + 1) * (dim - 1)]
        total = 0.0
        if deviation:
            covariance = record[covariance_at : covariance_at + 2 * dim * (dim + 1)].view(np.float32)
            k = 0
            for i in range(dim - 1):
                inner = 0.5 * covariance[k] * z[i]
                for j in range(i + 1, dim - 1):
                    inner += covariance[k + j - i] * np.float64(z[j])
                total += 2 * inner * z[i]
                k += dim - i
            total = max(total, 0.0) ** 0.5
        else:
            mean = record[mean_at : mean_at + 4 * dim].view(np.float32)
            for i in range(dim - 1):
                total += np.float64(mean[i]) * z[i]
        out[row] = total


@compiled
def cosines(
    records: Bytes, past: Longs, directions: Floats, known: NDArray[np.bool_], here: Longs, out: Floats
) -> None:
    """(R, N) cosines with the last events' items, the newest first; NaN where a vector or an event is missing.

    Args:
        records: (K, B).
        past: (K, N) places of the last events' items, in the order of memory.
        directions: (I + 1, r) of length 1.
        known: (I + 1,) which items have a vector.
        here: (R,) places of the candidates.
        out: (R, N).
    """
    rank, last = directions.shape[1], out.shape[1]
    near, usable, listed = np.empty((rank, last), np.float32), np.empty(last, np.bool_), 0
    totals = np.empty(last, np.float32)
    for row in range(len(here)):
        state = row if len(records) > 1 else 0
        if row == 0 or len(records) > 1:
            count = records[state, :8].view(np.int64)[0]
            listed = min(count, last)
            for back in range(listed):
                place = past[state, (count - 1 - back) % last]
                usable[back] = known[place]
                for i in range(rank):
                    near[i, back] = directions[place, i]
        if not known[here[row]]:
            out[row] = np.nan
            continue
        for at in range(listed):
            totals[at] = 0
        for i in range(rank):  # all events side by side: each sum has the order of a sum by itself
            mine = directions[here[row], i]
            for at in range(listed):
                totals[at] += near[i, at] * mine
        for at in range(listed):
            out[row, at] = totals[at] if usable[at] else np.float32(np.nan)
        for at in range(listed, last):
            out[row, at] = np.nan


@compiled
def likeness(
    records: Bytes, parts: Longs, near: Floats, measure: int, above: float, below: float, out: Doubles
) -> None:
    """What the last events say of candidates like them (R,), beside their mean; NaN where no cosine is known.

    Args:
        records: (K, B).
        parts: `Plan.at` of users' layout.
        near: (R, N) what `cosines` gave.
        measure: 0 similarity, 1 nearest, 2 liked_near, 3 disliked_near; see `llactr.history.features`.
        above: cosine from which an event is near.
        below: cosine from which it is not any more.
        out: (R,).
    """
    last = parts[LAST]
    best = np.empty(5, np.float32)
    best_residual = np.empty(5)
    beside, own, listed = np.empty(last), 0.0, 0  # residuals beside their mean, the newest first
    for row in range(len(near)):
        if row == 0 or len(records) > 1:
            record = records[row]
            count = record[:8].view(np.int64)[0]
            residuals = record[parts[RESIDUALS] : parts[RESIDUALS] + 4 * last].view(np.float32)
            own, listed = _own_mean(record, parts), min(count, last)
            for back in range(listed):
                beside[back] = residuals[(count - 1 - back) % last] - own
        total = weights = 0.0
        found = kept = 0
        if measure == 0:
            for back in range(listed):
                cosine = near[row, back]
                if not np.isnan(cosine):
                    found += 1
                    weight = np.exp(6.0 * (np.float64(cosine) - 1.0))
                    total += weight * beside[back]
                    weights += weight
            out[row] = total / (weights + 1.0) if found > 0 else np.nan
            continue
        for back in range(listed):
            cosine = near[row, back]
            if np.isnan(cosine):
                continue
            found += 1
            if measure == 1:
                if kept < 5 or cosine > best[4]:  # of equally near ones the newest
                    at = min(kept, 4)
                    while at > 0 and cosine > best[at - 1]:
                        best[at], best_residual[at] = best[at - 1], best_residual[at - 1]
                        at -= 1
                    best[at], best_residual[at] = cosine, beside[back]
                    kept = min(kept + 1, 5)
            elif above <= cosine < below and (beside[back] + own > 0) == (measure == 2):
                total += 1.0
        if found == 0:
            out[row] = np.nan
        elif measure == 1:
            for at in range(kept):
                total += best_residual[at]
            out[row] = total / (kept + 1.0)
        else:
            out[row] = np.log1p(total)


@compiled
def sequence(records: Bytes, parts: Longs, near: Floats, now: Longs, out: Floats) -> None:
    """The last events beside candidates (R, 3 L): cosine, residual, log(1 + seconds), of each the newest first.

    Args:
        records: (K, B).
        parts: `Plan.at` of users' layout.
        near: (R, N) what `cosines` gave; 0 is taken where there is none.
        now: (R,) microseconds.
        out: (R, 3 L), L at most N; NaN behind the last event.
    """
    last = parts[LAST]
    for row in range(len(near)):
        record = records[row if len(records) > 1 else 0]
        count = record[:8].view(np.int64)[0]
        times = record[parts[TIMES] : parts[TIMES] + 8 * last].view(np.int64)
        residuals = record[parts[RESIDUALS] : parts[RESIDUALS] + 4 * last].view(np.float32)
        own = _own_mean(record, parts)
        out[row] = np.nan
        for back in range(min(count, out.shape[1] // 3)):
            at = (count - 1 - back) % last
            out[row, 3 * back] = 0.0 if np.isnan(near[row, back]) else near[row, back]
            out[row, 3 * back + 1] = residuals[at] - own
            out[row, 3 * back + 2] = np.log1p(max(now[row] - times[at], 0) / 1e6)
