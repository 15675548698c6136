"""Item-item history: what became of two items among the same people, as a sparse table of weights.

weight(c, j) = sum of r_c r_j / (n + shrink), over the n people with both among their last events; r are residuals. It
is the covariance of two items' residuals, drawn to 0 where few have both.

Legend: I items, E entries, R rows, N last events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NeighbourSums", "Neighbours"]


@dataclass(frozen=True)
class Neighbours:
    """A symmetric table of weights.

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

    def of(self, candidates: NDArray[np.uint64], past: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Weights (R, N) of candidates (R,) and past items (R, N); 0 where nothing is known of the two."""
        if not len(self.keys):
            return np.zeros(past.shape, np.float32)
        keys = self._places(candidates)[:, None] * len(self.items) + self._places(past)
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        found = (self.keys[at] == keys) & self._known(candidates)[:, None] & self._known(past)
        return np.where(found, self.weights[at], np.float32(0))

    def _places(self, items: NDArray[np.uint64]) -> NDArray[np.int64]:
        return np.searchsorted(self.items, items).clip(max=len(self.items) - 1)

    def _known(self, items: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return self.items[self._places(items)] == items


class NeighbourSums:
    """Sums over pairs of events, from which a table can be made at any moment.

    Args:
        items: (I,) uint64, rising, all items that may come.
    """

    def __init__(self, items: NDArray[np.uint64]) -> None:
        self.items = items
        self._keys = np.empty(0, np.int64)
        self._sums = np.empty((0, 2))  # of r_c r_j, and n

    def add(
        self,
        items: NDArray[np.uint64],
        residuals: NDArray[np.float32],
        past: NDArray[np.uint64],
        past_residuals: NDArray[np.float32],
        present: NDArray[np.bool_],
    ) -> None:
        """Adds what R events (item and residual) and the N events before each of them (R, N) say of pairs."""
        size = len(self.items)
        here = np.searchsorted(self.items, items).astype(np.int64)[:, None]
        there = np.searchsorted(self.items, past).astype(np.int64)
        products = residuals[:, None].astype(np.float64) * past_residuals
        present = present & (here != there)
        one, two, product = np.broadcast_to(here, there.shape)[present], there[present], products[present]
        keys = np.concatenate([self._keys, one * size + two, two * size + one])
        ones = np.ones(len(product))
        values = np.vstack([self._sums, np.tile(np.column_stack([product, ones]), (2, 1))])
        self._keys, inverse = np.unique(keys, return_inverse=True)
        self._sums = np.column_stack([np.bincount(inverse, values[:, at], len(self._keys)) for at in (0, 1)])

    def table(self, *, shrink: float = 20.0) -> Neighbours:
        """The weights as of now."""
        weights = (self._sums[:, 0] / (self._sums[:, 1] + shrink)).astype(np.float32)
        return Neighbours(self.items, self._keys, weights)
