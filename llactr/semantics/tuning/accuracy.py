"""How often a model names the field of a value, and which fields it takes for which.

Legend: N values, K fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.semantics.tuning.value_split import LabelledValues

__all__ = ["FieldAccuracy", "field_accuracy"]


@dataclass(frozen=True)
class FieldAccuracy:
    """A confusion matrix of fields.

    Attributes:
        fields: K names.
        confusion: (K, K) int64, rows are true fields and columns named ones. A value of several fields counts in the
            row of the named field when that is one of them, else in the row of the field it was drawn for; so the
            diagonal holds exactly what was recognised.
    """

    fields: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of the values whose named field is one of theirs; NaN without values."""
        total = int(self.confusion.sum())
        return float(np.trace(self.confusion)) / total if total else float("nan")


def field_accuracy(fields: tuple[str, ...], scores: NDArray[np.float32], values: LabelledValues) -> FieldAccuracy:
    """The confusion matrix of scores (N, K) against the values' fields; the highest score names the field."""
    named = scores.argmax(axis=1) if len(values) else np.empty(0, np.int64)  # (N,)
    right = values.positives[np.arange(len(values)), named]  # (N,)
    confusion = np.zeros((len(fields), len(fields)), dtype=np.int64)
    np.add.at(confusion, (np.where(right, named, values.drawn_for), named), 1)
    return FieldAccuracy(fields, confusion)
