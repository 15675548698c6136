"""What seeds alone change in a paired difference, taken from all arms together where there are two seeds.

Two seeds of one pair of arms have one degree of freedom: its t-interval is 12.7 standard errors wide to each side, and
says nothing. But all arms were trained with the same seeds. What is left of their figures after each arm's and each
seed's mean is noise of (A - 1)(S - 1) degrees of freedom, as in randomized blocks (Fisher 1935). Arms may differ in
their noise, so a pair's own is taken where it is larger.

Legend: A arms, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy.stats would take ten times longer to import

__all__ = ["SeedNoise", "pooled_noise"]

_SEEDS = 2
"""With more than these, a pair's own figures are enough."""


class SeedNoise(BaseModel):
    """Standard deviation of a difference of two arms over seeds, and its degrees of freedom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deviation: float
    freedom: int

    def interval(self, by_seed: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
        """mean +- t s / sqrt(S), s being the larger of this and the differences' own."""
        mean = math.fsum(by_seed) / len(by_seed)
        own = math.sqrt(math.fsum((one - mean) ** 2 for one in by_seed) / (len(by_seed) - 1))
        reach = float(stdtrit(self.freedom, (1 + confidence) / 2)) * max(own, self.deviation) / math.sqrt(len(by_seed))
        return mean - reach, mean + reach


def pooled_noise(values: Sequence[Sequence[float]]) -> SeedNoise | None:
    """The noise of figures (A, S) of all arms; None where there are other than two seeds, or fewer than three arms."""
    figures = np.array(values, np.float64)
    if figures.ndim != 2 or figures.shape[1] != _SEEDS or len(figures) < 3:
        return None
    rest = figures - figures.mean(axis=1, keepdims=True) - figures.mean(axis=0) + figures.mean()
    freedom = (len(figures) - 1) * (_SEEDS - 1)
    return SeedNoise(deviation=math.sqrt(2 * float((rest**2).sum()) / freedom), freedom=freedom)
