"""Test metrics of click probabilities: area under the ROC curve, and logloss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError

__all__ = ["Metrics", "auc", "calibration_error", "logloss", "measure", "row_logloss"]

_SMALLEST = 1e-7


@dataclass(frozen=True)
class Metrics:
    """What a set of rows says of a model. `auc` is None where all rows have the same label, `logloss` without rows."""

    rows: int
    clicks: int
    auc: float | None
    logloss: float | None


def measure(label: NDArray[np.float32], score: NDArray[np.float32]) -> Metrics:
    """The metrics of some rows, which may be few or of one class.

    Args:
        label: (N,) 0 or 1.
        score: (N,) click probabilities.
    """
    rows, clicks = len(label), int(np.count_nonzero(label))
    return Metrics(
        rows=rows,
        clicks=clicks,
        auc=auc(label, score) if 0 < clicks < rows else None,
        logloss=logloss(label, score) if rows else None,
    )


def auc(label: NDArray[np.float32], score: NDArray[np.float32]) -> float:
    """Probability that a click scores above a non-click, a tie counting half; exact, one sort.

    Raises:
        DataError: all rows have the same label.
    """
    _check(label, score)
    clicks = int(np.count_nonzero(label))
    others = len(label) - clicks
    if not clicks or not others:
        raise DataError(f"AUC needs clicks and non-clicks, found {clicks} and {others}: take more rows")
    order = np.argsort(score, kind="stable")
    ranked, is_click = score[order], label[order] > 0
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # last row of each distinct score
    clicks_up_to = np.cumsum(is_click)[ends]
    others_up_to = ends + 1 - clicks_up_to
    tied_clicks = np.diff(clicks_up_to, prepend=0)
    tied_others = np.diff(others_up_to, prepend=0)
    # Twice the number of pairs in the right order: an integer, so nothing is rounded before the division.
    twice = int((tied_clicks * (2 * (others_up_to - tied_others) + tied_others)).sum())
    return twice / (2 * clicks * others)


def logloss(label: NDArray[np.float32], score: NDArray[np.float32]) -> float:
    """Mean negative log-likelihood in float64, probabilities kept 1e-7 away from 0 and 1.

    Raises:
        DataError: there are no rows.
    """
    _check(label, score)
    if not len(label):
        raise DataError("logloss needs rows, found none")
    return float(row_logloss(label, score).mean())


def row_logloss(label: NDArray[np.float32], score: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each row's share of the logloss (N,)."""
    p = np.clip(score.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.asarray(-np.where(label > 0, np.log(p), np.log1p(-p)))


def calibration_error(label: NDArray[np.float32], score: NDArray[np.float32], *, bins: int = 15) -> float:
    """Expected calibration error over bins of (nearly) equally many rows: the mean gap of mean score and click rate."""
    order = np.argsort(score, kind="stable")
    edges = np.linspace(0, len(order), min(bins, len(order)) + 1).round().astype(int)
    gaps = np.add.reduceat(score[order].astype(np.float64) - label[order], edges[:-1])
    return float(np.abs(gaps).sum() / len(order))


def _check(label: NDArray[np.float32], score: NDArray[np.float32]) -> None:
    if label.shape != score.shape or label.ndim != 1:
        raise DataError(f"labels have the shape {label.shape} and scores {score.shape}: both must be (N,)")
    if not np.isfinite(score).all():
        raise DataError(f"{int(np.count_nonzero(~np.isfinite(score)))} scores are not finite: the model has diverged")
