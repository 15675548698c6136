"""Places of items by the hashes of their keys.

Legend: I items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.history.compiled.folding import places_of

__all__ = ["ItemIndex"]


@dataclass(frozen=True)
class ItemIndex:
    """Sorted hashes, and where those begin that start with the same bits: a look-up is one short search.

    Attributes:
        items: (I,) uint64, rising.
        buckets: (2^bits + 1,) int64.
        shift: (1,) uint64, 64 less the bits.
    """

    items: NDArray[np.uint64]
    buckets: NDArray[np.int64]
    shift: NDArray[np.uint64]

    @classmethod
    def of(cls, items: NDArray[np.uint64]) -> ItemIndex:
        """The index of rising hashes."""
        bits = max(1, len(items).bit_length())
        shift = np.uint64(64 - bits)
        buckets = np.searchsorted(items >> shift, np.arange(2**bits + 1, dtype=np.uint64)).astype(np.int64)
        return cls(np.array(items), buckets, np.array([shift]))

    def __len__(self) -> int:
        return len(self.items)

    def places(self, items: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where items of any shape lie; I for one that is not there."""
        found = np.empty(items.shape, np.int64)
        flat = np.array(items, np.uint64).reshape(-1)
        places_of(self.items, self.buckets, self.shift, flat, found.reshape(-1))
        return found
