"""Vectors of items, by which a person's past is compared with a candidate; each source has its placebos.

What was fitted on training rows is kept: the values that have a column (`ItemForm`), and the directions of the PCA
(`Projection`). So an item that comes later is placed among those that training knew.

Legend: I items, L raw dim, C categories, r rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError
from llactr.history.compiled.projecting import project
from llactr.history.events import key_hashes

__all__ = [
    "ItemForm",
    "ItemVectors",
    "Projection",
    "both",
    "category_vectors",
    "columns_of",
    "fit_item_vectors",
    "multi_hot",
    "scales_of",
]


@dataclass(frozen=True)
class ItemForm:
    """How the raw vectors were made that a definition was fitted on, and those of later items are made.

    Attributes:
        columns: item field -> the values that have a column, in their order; C together.
        values_version: of the vectors of texts; None where none were read.
        text_dim: L of these.
        scales: `categories`, `text` -> by what `both` divides its block.
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values_version: str | None = None
    text_dim: int = 0
    scales: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Projection:
    """z = components (raw - mean).

    Attributes:
        mean: (L,) float64.
        components: (r, L) float64.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]

    def of(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """(I, r) of raw vectors (I, L); each by itself, to the bit."""
        found = np.empty((len(raw), len(self.components)), np.float32)
        project(np.ascontiguousarray(raw, np.float32), self.mean, self.components, found)
        return found


@dataclass(frozen=True)
class ItemVectors:
    """z of items, with a root mean square norm of 1 over the items that they were fitted on.

    Attributes:
        items: (I,) uint64 hashes of items, rising.
        vectors: (I, r) float32.
        projection: that they were made by; None for vectors that later items cannot have, such as a placebo's.
    """

    items: NDArray[np.uint64]
    vectors: NDArray[np.float32]
    projection: Projection | None = None

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
        dealt = self.vectors[np.random.default_rng(seed).permutation(len(self.items))]
        return replace(self, vectors=dealt, projection=None)

    def random(self, seed: int) -> ItemVectors:
        """A placebo: normal vectors, each direction as wide as the true ones."""
        drawn = np.random.default_rng(seed).standard_normal(self.vectors.shape)
        return replace(self, vectors=(drawn * self.vectors.std(axis=0)).astype(np.float32), projection=None)

    def joined(self, later: ItemVectors) -> ItemVectors:
        """These and those of other items."""
        items = np.concatenate([self.items, later.items])
        order = np.argsort(items)
        return replace(self, items=items[order], vectors=np.concatenate([self.vectors, later.vectors])[order])


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
    projection = Projection(mean, np.ascontiguousarray(components * scale))
    z, hashes = projection.of(raw), key_hashes(items)
    order = np.argsort(hashes)
    return ItemVectors(hashes[order], z[order], projection)


def columns_of(lists: Sequence[Sequence[str]], *, min_count: int = 2, max_values: int = 512) -> tuple[str, ...]:
    """The values of one field that have a column, sorted.

    Args:
        lists: the values of I items.
        min_count: values that fewer items have are left out.
        max_values: of the others those that most items have.
    """
    counts: dict[str, int] = {}
    for values in lists:
        for value in set(values):
            counts[value] = counts.get(value, 0) + 1
    frequent = sorted((-n, value) for value, n in counts.items() if n >= min_count)[:max_values]
    return tuple(sorted(value for _, value in frequent))


def multi_hot(lists: Sequence[Sequence[str]], columns: Sequence[str]) -> NDArray[np.float32]:
    """(I, C) of one field's values of I items, scaled to a norm of 1 per item; values without a column are left out."""
    places = {value: at for at, value in enumerate(columns)}
    block = np.zeros((len(lists), len(places)), np.float32)
    for row, values in enumerate(lists):
        for value in values:
            if value in places:
                block[row, places[value]] = 1
    norms = np.linalg.norm(block, axis=1, keepdims=True)
    return (block / np.maximum(norms, 1)).astype(np.float32)


def category_vectors(fields: Sequence[Sequence[Sequence[str]]]) -> NDArray[np.float32]:
    """(I, C) of several fields side by side, their columns taken from the same items."""
    blocks = [multi_hot(lists, columns_of(lists)) for lists in fields]
    return np.hstack(blocks) if blocks else np.zeros((0, 0), np.float32)


def scales_of(raw: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """By what each block is divided so that all have the same total variance, 1."""
    spreads = {name: float(block.var(axis=0, dtype=np.float64).sum()) for name, block in raw.items()}
    return {name: float(np.sqrt(spread)) if spread > 1e-12 else 1.0 for name, spread in spreads.items()}


def both(raw: Mapping[str, NDArray[np.float32]], scales: Mapping[str, float] | None = None) -> NDArray[np.float32]:
    """Several raw vectors of the same items side by side, divided by their scales; by default those of these items."""
    scales = scales_of(raw) if scales is None else scales
    return np.hstack([block / np.float32(scales[name]) for name, block in raw.items()])
