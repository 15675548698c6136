"""Items newer than training: their vectors and categories, placed by what a definition was fitted on, as bytes.

The bytes are the state of a key of their own (`NEWER_ITEMS`) among those of items. Whoever folds events or makes
numbers reads them and works with `HistoryDefinition.with_newer`: users' lists hold hashes of items only, so that a
past event of such an item could not be looked up one by one. They change by `llactr materialize` alone.

Legend: I items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from llactr.errors import StoreError
from llactr.history.categories import ItemCategories
from llactr.history.vectors import ItemVectors

__all__ = ["NEWER_ITEMS", "NewerItems"]

NEWER_ITEMS = "items newer than training"
"""The key, among those of items, whose state is `NewerItems.to_bytes`."""


@dataclass(frozen=True)
class NewerItems:
    """What is known of items that came after training.

    Attributes:
        vectors: source -> vectors.
        categories: item field -> values, for windows of pairs.
    """

    vectors: Mapping[str, ItemVectors] = field(default_factory=dict)
    categories: Mapping[str, ItemCategories] = field(default_factory=dict)

    @cached_property
    def items(self) -> NDArray[np.uint64]:
        """(I,) hashes of items that have a vector or a value, rising."""
        parts = [one.items for one in self.vectors.values()]
        parts += [one.items[np.diff(one.starts) > 0] for one in self.categories.values()]
        return np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))

    def changed(self, before: NewerItems) -> NDArray[np.uint64]:
        """Hashes of items of which something else was known before, or nothing."""
        return np.array(sorted({item for item, _ in self._entries ^ before._entries}), np.uint64)

    def to_bytes(self) -> bytes:
        """All of it."""
        tensors: dict[str, NDArray[Any]] = {}
        for source, vectors in self.vectors.items():
            tensors |= {f"items.{source}": vectors.items, f"vectors.{source}": vectors.vectors}
        for name, one in self.categories.items():
            tensors |= {f"categorized.{name}": one.items, f"starts.{name}": one.starts, f"values.{name}": one.values}
        return save(tensors)

    @classmethod
    def from_bytes(cls, content: bytes | None) -> NewerItems:
        """What `to_bytes` gave; None for a store that knows of none.

        Raises:
            StoreError: the bytes are something else.
        """
        if not content:
            return cls()
        try:
            found = load(content)
            parts = [(*name.split(".", 1), array) for name, array in found.items()]
            vectors = {
                name: ItemVectors(array, found[f"vectors.{name}"]) for kind, name, array in parts if kind == "items"
            }
            categories = {
                name: ItemCategories(array, found[f"starts.{name}"], found[f"values.{name}"])
                for kind, name, array in parts
                if kind == "categorized"
            }
        except (SafetensorError, KeyError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise StoreError(
                f"what the online store holds of items newer than training is damaged ({said}): run 'llactr "
                "materialize --force'"
            ) from None
        return cls(vectors, categories)

    @cached_property
    def _entries(self) -> frozenset[tuple[int, bytes]]:
        """(item, what is known of it by one source or field), of all."""
        found: set[tuple[int, bytes]] = set()
        for source, vectors in sorted(self.vectors.items()):
            known = zip(vectors.items.tolist(), vectors.vectors, strict=True)
            found |= {(item, source.encode() + row.tobytes()) for item, row in known}
        for name, one in sorted(self.categories.items()):
            for item, start, end in zip(one.items.tolist(), one.starts[:-1], one.starts[1:], strict=True):
                if start < end:
                    found.add((item, name.encode() + one.values[start:end].tobytes()))
        return frozenset(found)
