"""Random-effects mean over data sets, and the interval in which the next set's difference is expected.

k sets have differences y_i with standard errors s_i; sets differ by a variance tau^2 of their own.

- tau^2 by Paule and Mandel (1982): the value at which sum w_i (y_i - mean)^2 = k - 1, w_i = 1 / (s_i^2 + tau^2). It
  needs no normality and no iteration that may fail, and is less biased than DerSimonian and Laird (1986) where sets
  differ in size (Veroniki et al. 2016).
- the mean's interval by Hartung and Knapp (2001), t with k - 1 degrees, its scale never below 1 (Röver et al. 2015).
- the prediction interval by Higgins et al. (2009): mean +- t(k - 2) sqrt(tau^2 + se^2).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from scipy.special import stdtrit

__all__ = ["RandomEffects", "random_effects"]


@dataclasses.dataclass(frozen=True)
class RandomEffects:
    """What k differences say together; no prediction from fewer than three."""

    sets: int
    mean: float
    interval: tuple[float, float]
    tau: float
    prediction: tuple[float, float] | None


def random_effects(differences: Sequence[float], errors: Sequence[float]) -> RandomEffects | None:
    """The mean of differences with standard errors; None of fewer than two."""
    k = len(differences)
    if k < 2:
        return None
    tau2 = _between(differences, errors)
    weights = [1 / (error**2 + tau2) for error in errors]
    total = math.fsum(weights)
    mean = math.fsum(w * y for w, y in zip(weights, differences)) / total
    scale = math.fsum(w * (y - mean) ** 2 for w, y in zip(weights, differences)) / (k - 1)
    error = math.sqrt(max(scale, 1.0) / total)
    reach = float(stdtrit(k - 1, 0.975)) * error
    prediction = None
    if k > 2:
        wide = float(stdtrit(k - 2, 0.975)) * math.sqrt(tau2 + 1 / total)
        prediction = (mean - wide, mean + wide)
    return RandomEffects(k, mean, (mean - reach, mean + reach), math.sqrt(tau2), prediction)


def _between(differences: Sequence[float], errors: Sequence[float]) -> float:
    """tau^2 by bisection: the weighted sum of squares falls in it."""

    def excess(tau2: float) -> float:
        weights = [1 / (error**2 + tau2) for error in errors]
        mean = math.fsum(w * y for w, y in zip(weights, differences)) / math.fsum(weights)
        return math.fsum(w * (y - mean) ** 2 for w, y in zip(weights, differences)) - (len(differences) - 1)

    low, high = 0.0, (max(differences) - min(differences)) ** 2 + max(errors) ** 2
    if excess(low) <= 0:
        return 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2
