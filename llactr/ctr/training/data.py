"""Rows in memory, ready to train on: ids, labels, versions, and which rows are for what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError
from llactr.transforms import SplitRanges

__all__ = ["CTRData", "Split", "refuse_one_class"]


@dataclass(frozen=True)
class Split:
    """Row numbers, int64, of the three sets; they need not cover all rows, and do not overlap."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    @classmethod
    def of(cls, ranges: SplitRanges) -> Split:
        """The split of `llactr.transforms.chronological_split`."""
        return cls(*(np.arange(rows.start, rows.stop, dtype=np.int64) for rows in ranges))


@dataclass(frozen=True)
class CTRData:
    """N rows with C id slots.

    Attributes:
        ids: (N, C) int32, local ids.
        label: (N,) float32, 0 or 1.
        version: (N,) int32, position of the row's semantics version among the model's; zeros when there is one.
        split: which rows are trained on, validated with, tested on.
    """

    ids: NDArray[np.int32]
    label: NDArray[np.float32]
    version: NDArray[np.int32]
    split: Split

    def __post_init__(self) -> None:
        rows = len(self.label)
        if self.ids.ndim != 2 or len(self.ids) != rows or self.version.shape != (rows,):
            raise DataError(
                f"ids {self.ids.shape}, labels {self.label.shape} and versions {self.version.shape} do not agree"
            )
        if not np.isin(self.label, (0, 1)).all():
            odd = float(self.label[~np.isin(self.label, (0, 1))][0])
            raise DataError(f"a label is {odd:g}, expected 0 or 1: give the spec a label rule with 'above'")
        for name in ("train", "validation"):
            refuse_one_class(name, self.label[getattr(self.split, name)])

    def clicks(self) -> dict[str, tuple[int, int]]:
        """Rows and clicks of `train`, `validation` and `test`."""
        return {
            name: (len(rows), int(np.count_nonzero(self.label[rows])))
            for name in ("train", "validation", "test")
            for rows in (getattr(self.split, name),)
        }

    def check_test_split(self) -> None:
        """Refuses a test split that a model cannot be measured on; searches train without one.

        Raises:
            DataError: it has clicks only, or none.
        """
        refuse_one_class("test", self.label[self.split.test])


def refuse_one_class(name: str, label: NDArray[np.float32]) -> None:
    """Refuses a part of the split on which nothing can be learned or measured.

    Args:
        name: of the part.
        label: (n,) of its rows.

    Raises:
        DataError: it has clicks only, or none.
    """
    clicks = int(np.count_nonzero(label))
    if not 0 < clicks < len(label):
        raise DataError(
            f"the {name} split has {clicks} clicks in {len(label)} rows, it needs both clicks and non-clicks: "
            "give more rows, or another 'split' in the spec"
        )
