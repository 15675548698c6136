"""Categories of items, by which a person's past is counted: user x genre.

Legend: I items, E values of items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError
from llactr.history.events import key_hashes

__all__ = ["ItemCategories"]


@dataclass(frozen=True)
class ItemCategories:
    """Which values of one field items have.

    Attributes:
        items: (I,) uint64 hashes of items, rising.
        starts: (I + 1,) int64: the item at place i has the values `starts[i]` to `starts[i + 1]`.
        values: (E,) uint32 codes: the upper half of the value's hash, never 0.
    """

    items: NDArray[np.uint64]
    starts: NDArray[np.int64]
    values: NDArray[np.uint32]

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.items) + 1 or (len(self.items) > 1 and (np.diff(self.items) == 0).any()):
            raise DataError("items of categories must be sorted, each once: make them with 'ItemCategories.of'")

    @classmethod
    def of(cls, items: Sequence[str], lists: Sequence[Sequence[str]]) -> ItemCategories:
        """Categories of items, each once, by their lists of values; a value that is listed twice counts once."""
        hashes = key_hashes(items)
        order = np.argsort(hashes)
        distinct = [list(dict.fromkeys(lists[at])) for at in order]
        starts = np.concatenate([[0], np.cumsum([len(values) for values in distinct])]).astype(np.int64)
        codes = key_hashes(value for values in distinct for value in values) >> np.uint64(32)
        return cls(hashes[order], starts, np.maximum(codes, 1).astype(np.uint32))

    def joined(self, later: ItemCategories) -> ItemCategories:
        """These and those of other items."""
        items = np.concatenate([self.items, later.items])
        order = np.argsort(items)
        begins = np.concatenate([self.starts[:-1], later.starts[:-1] + len(self.values)])[order]
        counts = np.concatenate([np.diff(self.starts), np.diff(later.starts)])[order]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places = np.repeat(begins - starts[:-1], counts) + np.arange(starts[-1])
        return ItemCategories(items[order], starts, np.concatenate([self.values, later.values])[places])
