"""The rows that rivals read: the ids of a training set, sorted by what kind of column they are.

N rows, n of them, A categories, B ordered columns and measured numbers, M flags, T training rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llactr.ctr import Split, TrainingSet
from llactr.spec import MultiValuedField, NumericField, TimestampPartField
from llactr.transforms import FIRST

__all__ = ["RivalRows", "TargetStatistics"]

_FLAGS_A_FIELD = 64
_SMOOTHING = 10.0
_Number = TypeVar("_Number", np.float32, np.int32)


@dataclass(frozen=True)
class RivalRows:
    """All rows of a training set in the order of time.

    Attributes:
        label: (N,) float32, 0 or 1.
        split: which rows are for what.
        categories: field -> (N,) int32 ids of a field with one value a row.
        ordered: field -> (N,) float32 of few values that have an order, buckets or parts of a timestamp; NaN for none.
        measured: name -> (N,) float32 numbers, such as history; NaN for none.
        lists: multi-valued field -> (N, S) int32 ids, PAD where there is none.
        sizes: field -> how many ids it has, of `categories` and `lists`.
    """

    label: NDArray[np.float32]
    split: Split
    categories: Mapping[str, NDArray[np.int32]]
    ordered: Mapping[str, NDArray[np.float32]]
    lists: Mapping[str, NDArray[np.int32]]
    sizes: Mapping[str, int]
    measured: Mapping[str, NDArray[np.float32]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, training_set: TrainingSet, measured: Mapping[str, NDArray[np.float32]] | None = None) -> RivalRows:
        """Those of a training set: the ids that our models read, value by value.

        Buckets of numbers and parts of a timestamp are handed on as ordered numbers, which trees use better.

        Args:
            training_set: with its rows' ids.
            measured: name -> (N,) numbers of all rows.
        """
        data, transform = training_set.data, training_set.transform
        layout = transform.layout
        categories, ordered, lists, sizes = {}, {}, {}, {}
        for field, start, slots, size in zip(
            transform.spec_fields, layout.slot_starts.tolist(), layout.slots, layout.vocab_sizes, strict=True
        ):
            ids = data.ids[:, start : start + slots]
            if isinstance(field, MultiValuedField):
                lists[field.name], sizes[field.name] = ids, size
            elif isinstance(field, NumericField | TimestampPartField):
                ordered[field.name] = np.where(ids[:, 0] < FIRST, np.nan, ids[:, 0]).astype(np.float32)
            else:
                categories[field.name], sizes[field.name] = ids[:, 0], size
        return cls(data.label, data.split, categories, ordered, lists, sizes, measured or {})

    @cached_property
    def codes(self) -> NDArray[np.int32]:
        """(N, A)."""
        return _side_by_side(list(self.categories.values()), len(self.label), np.int32)

    @cached_property
    def numbers(self) -> NDArray[np.float32]:
        """(N, B) ordered columns, then measured numbers."""
        return _side_by_side([*self.ordered.values(), *self.measured.values()], len(self.label), np.float32)

    @cached_property
    def flags(self) -> NDArray[np.float32]:
        """(N, M) whether a row holds a value, of each multi-valued field's 64 most frequent ones in training."""
        found = []
        for name, ids in self.lists.items():
            counts = np.bincount(ids[self.split.train].ravel(), minlength=self.sizes[name])
            counts[:FIRST] = 0
            kept = [value for value in np.argsort(-counts, kind="stable")[:_FLAGS_A_FIELD] if counts[value] > 0]
            found += [(ids == value).any(axis=1) for value in kept]
        return _side_by_side(found, len(self.label), np.float32)

    @cached_property
    def statistics(self) -> TargetStatistics:
        """Of the categories."""
        return TargetStatistics.fit(self)


@dataclass(frozen=True)
class TargetStatistics:
    """Categories as two numbers each: the share of clicks among training rows with the same id, and log(1 + number).

    Shares are smoothed as if 10 more rows had the overall share. A training row's share is that of the rows before it
    (ordered target statistics, Prokhorenkova et al. 2018, section 3.2): its own label is not in it.

    Attributes:
        training: (T, A) shares of the training rows.
        share: per category (size,) of all training rows.
        count: per category (size,).
    """

    training: NDArray[np.float32]
    share: tuple[NDArray[np.float32], ...]
    count: tuple[NDArray[np.float32], ...]
    rows: RivalRows

    @classmethod
    def fit(cls, rows: RivalRows) -> TargetStatistics:
        """Of training rows in the order of time."""
        label = rows.label[rows.split.train].astype(np.float64)
        prior = float(label.mean())
        training, share, count = [], [], []
        for name, ids in rows.categories.items():
            codes = ids[rows.split.train]
            clicks, seen = _before(codes, label)
            training.append(((clicks + _SMOOTHING * prior) / (seen + _SMOOTHING)).astype(np.float32))
            rows_of = np.bincount(codes, minlength=rows.sizes[name]).astype(np.float64)
            clicks_of = np.bincount(codes, label, minlength=rows.sizes[name])
            share.append(((clicks_of + _SMOOTHING * prior) / (rows_of + _SMOOTHING)).astype(np.float32))
            count.append(np.log1p(rows_of).astype(np.float32))
        return cls(_side_by_side(training, len(label), np.float32), tuple(share), tuple(count), rows)

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, A) log(1 + training rows with the same id)."""
        return self._looked_up(self.count, rows)

    def shares(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, A) of rows that are not trained on."""
        return self._looked_up(self.share, rows)

    def _looked_up(self, tables: tuple[NDArray[np.float32], ...], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        codes = self.rows.codes[rows]
        return _side_by_side([table[codes[:, at]] for at, table in enumerate(tables)], len(rows), np.float32)


def _before(codes: NDArray[np.int32], label: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clicks, and rows, with the same code before each row; both (T,)."""
    order = np.argsort(codes, kind="stable")
    ranked = label[order]
    first = np.append(True, codes[order][1:] != codes[order][:-1])[: len(codes)]
    start = np.maximum.accumulate(np.where(first, np.arange(len(codes)), 0))
    clicks_before = np.cumsum(ranked) - ranked
    clicks, seen = np.empty(len(codes)), np.empty(len(codes))
    clicks[order] = clicks_before - clicks_before[start]
    seen[order] = np.arange(len(codes)) - start
    return clicks, seen


def _side_by_side(columns: Sequence[NDArray[Any]], rows: int, kind: type[_Number]) -> NDArray[_Number]:
    if not columns:
        return np.empty((rows, 0), kind)
    return np.stack(columns, axis=1).astype(kind, copy=False)
