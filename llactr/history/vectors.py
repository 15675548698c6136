"""Vectors of items, by which a person's past is compared with a candidate; each source has its placebos.

Legend: I items, L raw dim, C categories, r rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError
from llactr.history.events import key_hashes

__all__ = ["ItemVectors", "both", "category_vectors", "fit_item_vectors"]


@dataclass(frozen=True)
class ItemVectors:
    """z of items, with a root mean square norm of 1 over the items that they were fitted on.

    Attributes:
        items: (I,) uint64 hashes of items, rising.
        vectors: (I, r) float32.
    """

    items: NDArray[np.uint64]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.items):
            raise DataError(
                f"{len(self.items)} items came with vectors of shape {self.vectors.shape}: encode them again"
            )
        if len(self.items) > 1 and not (self.items[1:] > self.items[:-1]).all():
            raise DataError("items of vectors must be sorted, each once: make them with 'fit_item_vectors'")

    @property
    def rank(self) -> int:
        """r."""
        return self.vectors.shape[1]

    def permuted(self, seed: int) -> ItemVectors:
        """A placebo: the same vectors, dealt out to other items."""
        return replace(self, vectors=self.vectors[np.random.default_rng(seed).permutation(len(self.items))])

    def random(self, seed: int) -> ItemVectors:
        """A placebo: normal vectors, each direction as wide as the true ones."""
        drawn = np.random.default_rng(seed).standard_normal(self.vectors.shape)
        return replace(self, vectors=(drawn * self.vectors.std(axis=0)).astype(np.float32))


def fit_item_vectors(
    items: Sequence[str], raw: NDArray[np.float32], *, rank: int, fitted_on: NDArray[np.bool_] | None = None
) -> ItemVectors:
    """The PCA of items' raw vectors, each item counting once.

    Args:
        items: I keys, each once.
        raw: (I, L).
        rank: r at most.
        fitted_on: (I,) which items the PCA sees, those that occur in training; all by default.
    """
    seen = raw if fitted_on is None or int(fitted_on.sum()) < 2 else raw[fitted_on]
    mean = seen.mean(axis=0, dtype=np.float64)
    centered = seen.astype(np.float64) - mean
    variances, directions = np.linalg.eigh(centered.T @ centered / max(len(seen), 1))  # ascending
    kept = max(1, min(rank, len(seen) - 1, raw.shape[1]))
    components = directions[:, ::-1][:, :kept].T  # r x L
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = components * np.where(largest < 0, -1.0, 1.0)
    total = float(variances[::-1][:kept].clip(min=0).sum())
    scale = 1 / np.sqrt(total) if total > 1e-12 else 0.0
    z = ((raw.astype(np.float64) - mean) @ components.T * scale).astype(np.float32)
    hashes = key_hashes(items)
    order = np.argsort(hashes)
    return ItemVectors(hashes[order], z[order])


def category_vectors(
    columns: Sequence[Sequence[Sequence[str]]], *, min_count: int = 2, max_values: int = 512
) -> NDArray[np.float32]:
    """Multi-hot vectors (I, C) of items' categories, each column scaled to a norm of 1 per item.

    Args:
        columns: per field, the I items' lists of values.
        min_count: values that fewer items have are left out.
        max_values: of a column, those that most items have.
    """
    blocks = []
    for lists in columns:
        counts: dict[str, int] = {}
        for values in lists:
            for value in set(values):
                counts[value] = counts.get(value, 0) + 1
        frequent = sorted((-n, value) for value, n in counts.items() if n >= min_count)[:max_values]
        places = {value: at for at, value in enumerate(sorted(value for _, value in frequent))}
        block = np.zeros((len(lists), len(places)), np.float32)
        for row, values in enumerate(lists):
            for value in values:
                if value in places:
                    block[row, places[value]] = 1
        norms = np.linalg.norm(block, axis=1, keepdims=True)
        blocks.append(block / np.maximum(norms, 1))
    return np.hstack(blocks) if blocks else np.zeros((0, 0), np.float32)


def both(raw: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Several raw vectors of the same items side by side, each block with the same total variance."""
    blocks = []
    for block in raw.values():
        spread = float(block.var(axis=0, dtype=np.float64).sum())
        blocks.append(block / np.float32(np.sqrt(spread) if spread > 1e-12 else 1.0))
    return np.hstack(blocks)
