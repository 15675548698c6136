"""A kept difference of two arms of a set with its error, the best arm of a kind, and how figures are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtrit

__all__ = ["Effect", "best", "difference", "signed", "span"]


@dataclass(frozen=True)
class Effect:
    """A difference in one set.

    `error` is its standard error over users and seeds; the interval is the bootstrap's own where no seeds are in it.
    """

    set: str
    mean: float
    error: float
    interval: tuple[float, float]


def best(backbone: dict[str, Any], roles: Sequence[str]) -> str | None:
    """The arm of the best validation AUC among some roles."""
    arms = [arm for arm in backbone["arms"] if arm["role"] in roles and arm["validation_auc"] is not None]
    return max(arms, key=lambda arm: arm["validation_auc"])["arm"] if arms else None


def difference(
    differences: Sequence[dict[str, Any]], arm: str | None, baseline: str | None, metric: str, part: str
) -> tuple[float, float, tuple[float, float]] | None:
    """Of the kept differences, or of one with its sides exchanged; 0 of an arm with itself is none."""
    for ours, theirs, sign in ((arm, baseline, 1), (baseline, arm, -1)):
        for one in differences:
            if (one["arm"], one["baseline"], one["metric"], one["slice"]) == (ours, theirs, metric, part):
                error, mean = _error(one), sign * one["mean"]
                if error is None:
                    return None
                ends = sorted(sign * end for end in one["over_rows"])
                if len(one.get("by_seed", ())) > 2:
                    ends = [mean - 1.96 * error, mean + 1.96 * error]
                return mean, error, (ends[0], ends[1])
    return None


def _error(kept: dict[str, Any]) -> float | None:
    """Over users (or rows) from the bootstrap's interval, over seeds from the t-interval of three or more."""
    rows, seeds = kept["over_rows"], kept["over_seeds"]
    if rows is None:
        return None
    squares = [((rows[1] - rows[0]) / (2 * 1.96)) ** 2]
    count = len(kept.get("by_seed", ()))
    if seeds is not None and count > 2:
        squares.append(((seeds[1] - seeds[0]) / (2 * float(stdtrit(count - 1, 0.975)))) ** 2)
    return math.sqrt(math.fsum(squares)) or None


def signed(value: float) -> str:
    """Four digits and a sign."""
    return f"{value:+.4f}".replace("-", "−")


def span(ends: Sequence[float]) -> str:
    """An interval."""
    return f"[{signed(ends[0])}, {signed(ends[1])}]"
