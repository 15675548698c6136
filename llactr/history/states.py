"""States of keys as arrays, and the update by one event of each.

Legend: K keys, S windows kept as sums, W windows in tiles, T tiles, N last events, r rank of vectors, d = r + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llactr.history.definition import TILES, HistoryDefinition, StateLayout

__all__ = ["NEVER", "KeyStates", "fold"]

NEVER = np.iinfo(np.int64).min
"""The newest time of a key without events."""


@dataclass
class KeyStates:
    """What is folded in, of K keys. An empty place in a list has item 0, time `NEVER` and residual 0.

    The list is a ring: the event that was folded in as number n (from 0) lies at n modulo N.

    Attributes:
        count: (K,) int64, events.
        newest: (K,) int64, time of the newest event.
        sums: (K, S, 2) float32, impressions and clicks, decayed to `newest` where they decay.
        tiles: (K, W, T, 2) float32, by tile number modulo T.
        tile: (K, W) int64, number of the newest tile: floor(time / length of a tile).
        items: (K, N) uint64.
        times: (K, N) int64.
        residuals: (K, N) float32; positive for a click, negative for none.
        means: source -> (K, d) float32, posterior mean; the bias is last.
        covariances: source -> (K, d, d) float32.
    """

    count: NDArray[np.int64]
    newest: NDArray[np.int64]
    sums: NDArray[np.float32]
    tiles: NDArray[np.float32]
    tile: NDArray[np.int64]
    items: NDArray[np.uint64]
    times: NDArray[np.int64]
    residuals: NDArray[np.float32]
    means: dict[str, NDArray[np.float32]]
    covariances: dict[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.count)

    @classmethod
    def empty(cls, definition: HistoryDefinition, layout: StateLayout, keys: int) -> KeyStates:
        """States without any event."""
        means, covariances = {}, {}
        for source, dim in layout.tastes.items():
            prior = np.full(dim, definition.spec.prior_taste)
            prior[-1] = definition.spec.prior_level
            means[source] = np.zeros((keys, dim), np.float32)
            covariances[source] = np.broadcast_to(np.diag(prior).astype(np.float32), (keys, dim, dim)).copy()
        tiled = len(layout.tiled)
        return cls(
            count=np.zeros(keys, np.int64),
            newest=np.full(keys, NEVER),
            sums=np.zeros((keys, len(layout.sums), 2), np.float32),
            tiles=np.zeros((keys, tiled, TILES, 2), np.float32),
            tile=np.full((keys, tiled), NEVER),
            items=np.zeros((keys, layout.last), np.uint64),
            times=np.full((keys, layout.last), NEVER),
            residuals=np.zeros((keys, layout.last), np.float32),
            means=means,
            covariances=covariances,
        )

    def first(self, keys: int) -> KeyStates:
        """Views of the first states: what is folded into them is folded into these."""
        return self._each(lambda array: array[:keys])

    def take(self, places: NDArray[np.int64]) -> KeyStates:
        """Copies of some states."""
        return self._each(lambda array: array[places])

    @classmethod
    def stack(cls, states: Sequence[KeyStates]) -> KeyStates:
        """Several states one after another; at least one."""
        first = states[0]
        return cls(
            **{name: np.concatenate([getattr(s, name) for s in states]) for name in _ARRAYS},
            means={source: np.concatenate([s.means[source] for s in states]) for source in first.means},
            covariances={
                source: np.concatenate([s.covariances[source] for s in states]) for source in first.covariances
            },
        )

    def arrays(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """All arrays by name."""
        for name in _ARRAYS:
            yield name, getattr(self, name)
        for source in self.means:
            yield f"means.{source}", self.means[source]
            yield f"covariances.{source}", self.covariances[source]

    def _each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> KeyStates:
        return KeyStates(
            **{name: change(getattr(self, name)) for name in _ARRAYS},
            means={source: change(array) for source, array in self.means.items()},
            covariances={source: change(array) for source, array in self.covariances.items()},
        )


_ARRAYS = ("count", "newest", "sums", "tiles", "tile", "items", "times", "residuals")


def fold(
    definition: HistoryDefinition,
    layout: StateLayout,
    states: KeyStates,
    *,
    time: NDArray[np.int64],
    other: NDArray[np.uint64],
    value: NDArray[np.float32],
) -> None:
    """Folds one event into each of K states, in place.

    Cost: O(d^2) numbers a key and source of vectors, whatever the key's past.

    Args:
        definition: whose states these are.
        layout: of their owner.
        states: K.
        time: (K,) the events' times.
        other: (K,) hashes of the items, for users; of the users, for items.
        value: (K,) residuals for users, outcomes for items; positive for a click either way.
    """
    clicked = (value > 0).astype(np.float64)
    event = np.stack([np.ones(len(value)), clicked], axis=1)  # K x 2
    _fold_sums(layout, states, time, event)
    _fold_tiles(layout, states, time, event)
    if layout.last:
        _fold_list(layout, states, time, other, value)
    for source in layout.tastes:
        z = definition.tables[source][definition.vectors[source].places(other)]  # K x r
        _fold_taste(states.means[source], states.covariances[source], z, value)
    states.count += 1
    np.maximum(states.newest, time, out=states.newest)


def _fold_sums(layout: StateLayout, states: KeyStates, time: NDArray[np.int64], event: NDArray[np.float64]) -> None:
    fresh = states.newest == NEVER
    ahead = np.where(fresh, 0, time - np.where(fresh, time, states.newest))  # (K,) how far the event moves the newest
    for at, window in enumerate(layout.sums):
        if window.kind == "all":
            states.sums[:, at] = states.sums[:, at] + event
            continue
        old = np.exp2(-np.maximum(ahead, 0) / window.span_us)[:, None]
        new = np.exp2(-np.maximum(-ahead, 0) / window.span_us)[:, None]
        states.sums[:, at] = states.sums[:, at].astype(np.float64) * old + event * new


def _fold_tiles(layout: StateLayout, states: KeyStates, time: NDArray[np.int64], event: NDArray[np.float64]) -> None:
    keys = np.arange(len(time))
    for at, window in enumerate(layout.tiled):
        tile = time // (window.span_us // TILES)
        newest = states.tile[:, at]
        for back in range(TILES):  # tiles between the newest so far and this one start from nothing
            number = tile - back
            states.tiles[keys, at, number % TILES] *= (number <= newest)[:, None]
        counted = (tile > newest - TILES) | (newest == NEVER)
        states.tiles[keys, at, tile % TILES] += (event * counted[:, None]).astype(np.float32)
        states.tile[:, at] = np.maximum(newest, tile)


def _fold_list(
    layout: StateLayout,
    states: KeyStates,
    time: NDArray[np.int64],
    item: NDArray[np.uint64],
    residual: NDArray[np.float32],
) -> None:
    keys, at = np.arange(len(time)), states.count % layout.last
    late = np.flatnonzero(time < states.newest)
    kept = [(states.items[k].copy(), states.times[k].copy(), states.residuals[k].copy()) for k in late]
    states.items[keys, at], states.times[keys, at], states.residuals[keys, at] = item, time, residual
    for k, (items, times, residuals) in zip(late, kept, strict=True):
        start = int(states.count[k]) % layout.last
        order = np.roll(np.arange(layout.last), -start)  # the oldest first, empty places before them
        where = int(np.searchsorted(times[order], time[k], side="right"))
        rows = [
            np.insert(array[order], where, new)[1:]  # of N + 1, the oldest goes
            for array, new in ((items, item[k]), (times, time[k]), (residuals, residual[k]))
        ]
        back = (start + 1 + np.arange(layout.last)) % layout.last  # the newest comes to lie at `start`
        states.items[k, back], states.times[k, back], states.residuals[k, back] = rows


def _fold_taste(
    mean: NDArray[np.float32], covariance: NDArray[np.float32], z: NDArray[np.float32], residual: NDArray[np.float32]
) -> None:
    """Rank-one update of the posterior of residual = w z + bias + noise of variance 1 (Kalman's, without drift)."""
    x = np.ones((len(z), z.shape[1] + 1))  # K x d
    x[:, :-1] = z
    gain = (covariance * x[:, None, :]).sum(axis=2)  # K x d
    spread = 1 + (gain * x).sum(axis=1)  # (K,)
    error = residual - (mean * x).sum(axis=1)
    mean += gain * (error / spread)[:, None]
    covariance -= gain[:, :, None] * (gain / spread[:, None])[:, None, :]
