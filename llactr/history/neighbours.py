"""Item-item history: what became of two items among the same people, as a sparse table of weights.

weight(c, j) = sum of r_c r_j / (n + shrink), over the n people with both among their last events; r are residuals. It
is the covariance of two items' residuals, drawn to 0 where few have both.

Legend: N events, R rows, I items, E entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llactr.history.compiled.pairing import add_pairs, past_weights, rehash
from llactr.history.index import ItemIndex

__all__ = ["NeighbourSums", "Neighbours", "Spans"]

_ROWS_AT_ONCE = 8192
_SHRINK = 20.0
_MOST_PLACES = 1 << 25
"""Of the hash table, which then takes 0.8 GB and holds 17 million pairs."""
_MOST_NEIGHBOURS = 200
"""Of an item in a finished table."""


@dataclass(frozen=True)
class Neighbours:
    """A table of weights; both orders of a pair are there, or one where the other was left out.

    Attributes:
        items: (I,) uint64, rising.
        keys: (E,) int64, rising: place of one item * I + place of the other.
        weights: (E,) float32.
    """

    items: NDArray[np.uint64]
    keys: NDArray[np.int64]
    weights: NDArray[np.float32]

    @classmethod
    def empty(cls) -> Neighbours:
        """No item, no weight."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float32))

    @cached_property
    def index(self) -> ItemIndex:
        """Of the items."""
        return ItemIndex.of(self.items)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(I + 1,) where the neighbours of an item begin."""
        size = len(self.items)
        return np.searchsorted(self.keys, np.arange(size + 1, dtype=np.int64) * size)

    @cached_property
    def columns(self) -> NDArray[np.int32]:
        """(E,) places of neighbours, rising within an item."""
        return (self.keys % max(len(self.items), 1)).astype(np.int32)


@dataclass(frozen=True)
class Spans:
    """Pasts as spans of events that are sorted by user and time.

    Attributes:
        low: (R,) the first of the last N events before a row.
        high: (R,) their end.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64] | slice) -> Spans:
        """Those of some rows."""
        return Spans(self.low[rows], self.high[rows])


class NeighbourSums:
    """Sums over pairs of events, which say the weights at any moment. They grow by events in the order of time.

    Cost: N look-ups in a hash table for every event and row; 48 to 96 bytes for each pair of items that was seen. When
    there are more than `_MOST_PLACES` / 2 of these, those that the fewest people share are forgotten.

    Args:
        items: (I,) uint64, rising, all items that may come.
        event_items: (N,) uint64, items of the events that spans mean, by user and time.
        residuals: (N,) float32 of those.
    """

    def __init__(
        self, items: NDArray[np.uint64], event_items: NDArray[np.uint64], residuals: NDArray[np.float32]
    ) -> None:
        self._index = ItemIndex.of(items)
        self._places, self._residuals = self._index.places(event_items), np.array(residuals, np.float32)
        self._keys = np.full(1 << 16, -1, np.int64)
        self._sums = np.zeros((1 << 16, 2))  # of r_c r_j, and n
        self._used = 0

    def add(self, events: NDArray[np.int64], past: Spans) -> None:
        """Adds what some events, by their places among the sorted ones, and those before each of them say of pairs."""
        for start in range(0, len(events), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            low, high = past.low[part], past.high[part]
            self._make_room(int((high - low).sum()))
            self._used += add_pairs(
                self._keys, self._sums, self._places, self._residuals, events[part], low, high, len(self._index)
            )

    def of(self, candidates: NDArray[np.uint64], past: Spans) -> NDArray[np.float32]:
        """What the pasts say of candidates (R,), as `Neighbours` of this moment would."""
        found = np.empty(len(candidates))
        past_weights(
            self._keys,
            self._sums,
            _SHRINK,
            self._places,
            self._residuals,
            self._index.places(candidates),
            past.low,
            past.high,
            len(self._index),
            found,
        )
        return found.astype(np.float32)

    def table(self) -> Neighbours:
        """The weights as of now, of each item the `_MOST_NEIGHBOURS` that are farthest from 0."""
        used = self._keys >= 0
        keys, sums, size = self._keys[used], self._sums[used], max(len(self._index), 1)
        weights = (sums[:, 0] / (sums[:, 1] + _SHRINK)).astype(np.float32)
        keys, weights = np.concatenate([keys, keys % size * size + keys // size]), np.concatenate([weights, weights])
        order = np.lexsort((-np.abs(weights), keys // size))
        items = keys[order] // size
        rank = np.arange(len(items)) - np.searchsorted(items, items)
        kept = order[rank < _MOST_NEIGHBOURS]
        kept = kept[np.argsort(keys[kept])]
        return Neighbours(self._index.items, keys[kept], weights[kept])

    def _make_room(self, more: int) -> None:
        size, used, least = len(self._keys), self._keys >= 0, 0
        kept = self._used
        while 2 * (kept + more) > size:
            if size < _MOST_PLACES:
                size *= 2
            else:  # the half that fewest share goes at once, so that this is seldom
                least += 1
                used = self._sums[:, 1] > least
                kept = int(np.count_nonzero(used))
                if 4 * kept > size:
                    kept = size
        if size > len(self._keys) or least:
            keys, sums = np.full(size, -1, np.int64), np.zeros((size, 2))
            rehash(self._keys[used], self._sums[used], keys, sums)
            self._keys, self._sums, self._used = keys, sums, kept
