"""Bootstrap resamples of judged rows, by whole users where there are users: rows of one user are not independent.

Legend: N rows, U units that are drawn (users, or single rows), W resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_CARRIERS", "FEWEST_USERS", "Drawn", "Resamples"]

Drawn = Literal["users", "rows"]
FEWEST_USERS = 10
"""With fewer users than these a bootstrap over users says nothing, and rows are drawn."""
FEWEST_CARRIERS = 10
"""With fewer drawn units than these that have a click (or a row without one) a bootstrap bounds nothing.

All resamples of a single click hold that click or have no AUC, so their interval is narrow where nothing is known.
"""


@dataclass(frozen=True)
class Resamples:
    """How often each resample holds each unit.

    Attributes:
        unit: (N,) int64, the unit of each row.
        counts: (W, U) uint8.
        drawn: what a unit is.
    """

    unit: NDArray[np.int64]
    counts: NDArray[np.uint8]
    drawn: Drawn

    @classmethod
    def of(cls, rows: int, count: int, *, users: NDArray[np.int64] | None = None, seed: int = 7) -> Resamples:
        """W = `count` resamples of `rows` rows; the same for the same seed.

        Args:
            rows: N.
            count: W.
            users: (N,) any codes of users; None where rows have none.
            seed: of the draws.
        """
        unit = np.arange(rows, dtype=np.int64)
        drawn: Drawn = "rows"
        if users is not None:
            different, codes = np.unique(users, return_inverse=True)
            if len(different) >= FEWEST_USERS:
                unit, drawn = codes.reshape(-1).astype(np.int64), "users"
        units = int(unit.max()) + 1 if rows else 0
        rng = np.random.default_rng(seed)
        counts = np.empty((count, units), np.uint8)
        for number in range(count):
            counts[number] = np.bincount(rng.integers(units, size=units), minlength=units) if units else 0
        return cls(unit, counts, drawn)

    def weights(self, chosen: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
        """For each resample, how often it holds each of the chosen rows (N,)."""
        unit = self.unit[chosen]
        for one in self.counts:
            yield one[unit].astype(np.float64)

    def sums(self, values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(W,) the sum over each resample's rows of a value that each of the chosen rows has."""
        per_unit = np.bincount(self.unit[chosen], values, minlength=self.counts.shape[1])
        return np.array([one @ per_unit for one in self.counts], np.float64)
