"""States of keys as one array of records.

Legend: K keys, S windows kept as sums, W windows in tiles, T tiles, Q pair windows, P values of each, N last events,
d = r + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.history.definition import HistoryDefinition
from llactr.history.layout import StateLayout

__all__ = ["KeyStates"]


@dataclass(frozen=True)
class KeyStates:
    """What is folded in, of K keys.

    The parts of a record (`StateLayout.record`), which `records[name]` gives as (K, ...) views:

    - `count` int64, events; `newest` int64, time of the newest event;
    - `sums` (S, 2) float32, impressions and clicks, decayed to `newest` where they decay;
    - `tiles` (W, T, 2) float32, by tile number modulo T; `tile` (W,) int64, number of the newest tile: floor(time /
      length of a tile);
    - `mean.SOURCE` (d,) float32, posterior mean, the bias last; `covariance.SOURCE` the upper triangle, row by row;
    - `values.n` (P,) uint32, codes of categories in the order in which they came, 0 where there is none yet;
      `numbers.n` (P, 2) float32, their impressions and clicks;
    - `items` (N,) uint64, `times` (N,) int64, `residuals` (N,) float32, positive for a click and negative for none: a
      ring, the event that was folded in as number n (from 0) lies at n modulo N.

    Attributes:
        records: (K,) structured, contiguous.
    """

    records: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def empty(cls, definition: HistoryDefinition, layout: StateLayout, keys: int) -> KeyStates:
        """States without any event."""
        return cls(np.repeat(definition.blank(layout), keys))

    @classmethod
    def stack(cls, states: Sequence[KeyStates]) -> KeyStates:
        """Several states one after another; at least one."""
        return cls(np.concatenate([state.records for state in states]))

    def take(self, places: NDArray[np.int64]) -> KeyStates:
        """Copies of some states."""
        return KeyStates(self.records[places])

    @property
    def bytes(self) -> NDArray[np.uint8]:
        """(K, B) uint8: the records' memory."""
        return self.records.view(np.uint8).reshape(len(self.records), -1)

    @property
    def count(self) -> NDArray[np.int64]:
        """(K,) events that are folded in."""
        return self.records["count"]

    @property
    def sums(self) -> NDArray[np.float32]:
        """(K, S, 2) impressions and clicks."""
        return self.records["sums"]

    @property
    def items(self) -> NDArray[np.uint64]:
        """(K, N) hashes of the last events' items, in the order of memory."""
        return self.records["items"]

    @property
    def times(self) -> NDArray[np.int64]:
        """(K, N) their times."""
        return self.records["times"]

    @property
    def means(self) -> dict[str, NDArray[np.float32]]:
        """Source -> (K, d) posterior means."""
        names = [name for name in self.records.dtype.names or () if name.startswith("mean.")]
        return {name.removeprefix("mean."): self.records[name] for name in names}
