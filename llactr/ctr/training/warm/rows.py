"""Which rows a warm training reads: new ones, a draw of those of before, and the newest of validation and test.

Legend: N events, M rows of the warm training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.ctr.training.data import Split
from llactr.ctr.training.warm.config import WarmConfig
from llactr.transforms import SplitRanges

__all__ = ["WarmRows", "warm_rows"]


@dataclass(frozen=True)
class WarmRows:
    """Rows of the events table, in its order.

    Attributes:
        places: (M,) int64, rising: rows to train on, to validate with, to test on.
        split: which of the M are which.
        new: (T,) bool of the rows to train on: whether no training has read them; the others are replayed.
    """

    places: NDArray[np.int64]
    split: Split
    new: NDArray[np.bool_]

    @property
    def new_count(self) -> int:
        """How many rows are new."""
        return int(np.count_nonzero(self.new))


def warm_rows(times: NDArray[np.int64], ranges: SplitRanges, config: WarmConfig, *, until: int, seed: int) -> WarmRows:
    """Chooses the rows; the same arguments give the same rows.

    Args:
        times: (N,) event times in microseconds, rising.
        ranges: the split of all N rows.
        config: how many.
        until: the newest event time that was trained on. What is dated no later and came since is not new.
        seed: of the draw of rows of before, which is uniform and without repetition.
    """
    end = len(ranges.train)
    start = min(int(np.searchsorted(times, until, side="right")), end)
    new = np.arange(start, end, dtype=np.int64)
    count = min(start, round(config.replay_share * len(new)))
    replayed = np.random.default_rng([seed, start]).choice(start, count, replace=False)
    held = [
        np.arange(max(rows.start, rows.stop - config.held_out_rows), rows.stop, dtype=np.int64)
        for rows in (ranges.validation, ranges.test)
    ]
    train = np.concatenate([np.sort(replayed), new])
    places = np.concatenate([train, *held])
    ends = np.cumsum([len(train), *map(len, held)])
    split = Split(*(np.arange(low, high, dtype=np.int64) for low, high in zip([0, *ends[:-1]], ends, strict=True)))
    return WarmRows(places, split, np.arange(len(train)) >= len(replayed))
