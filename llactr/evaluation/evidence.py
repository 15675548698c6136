"""Differences between arms, with an interval for each thing that could have come out otherwise.

An arm's runs differ by seed (initial weights, order of batches), by draw (which items or rows were held out) and by the
rows that happened to be tested. Runs of one draw and seed share all but the arm, so differences are paired. A
difference is their mean; it gets a t-interval over seeds, a t-interval over draws, and a percentile interval of a
bootstrap over the test rows, by whole users where there are users (rows of one user are not independent), which
draws the same for all runs (a calibration error has none: it is biased under resampling).

Letters: N test rows, W resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy.stats would take ten times longer to import

from llactr.evaluation.arms import Arm
from llactr.evaluation.resampling import Drawn
from llactr.evaluation.seed_noise import SeedNoise

__all__ = ["ALL_ROWS", "METRICS", "Difference", "Interval", "Metric", "Run", "paired_difference", "t_interval"]

Interval = tuple[float, float]
Metric = Literal["auc", "logloss", "ece", "user_auc", "ndcg", "recall", "moment_auc"]
METRICS: tuple[Metric, ...] = ("auc", "logloss", "ece", "user_auc", "ndcg", "recall", "moment_auc")
"""What is measured; from the fourth on, of the order within each user, on all rows alone.

`moment_auc` is `user_auc` as of one moment: what a model takes from the person's own past for every candidate alike is
left out. Between two moments it moves with the outcomes that are ranked, and so says something where nothing is known.
"""
_POWER = 1.43
"""(1.96 + 0.84) / 1.96: how much larger than an interval's reach a difference has to be, to be seen in four of five."""
ALL_ROWS = "all"
"""The slice of all test rows."""


@dataclass(frozen=True)
class Run:
    """One trained model on the test rows.

    Attributes:
        metrics: slice -> metric -> value; None where it is not defined.
        resampled: slice -> metric -> (W,) its value on each resample.
        train_s: CPU seconds of the training; of a rival's whole search.
        drawn: what resamples draw.
        scarce: how many of these have a click, or a row without one, where they are too few for a bootstrap.
        rows_per_s: test rows scored per CPU-second, from ids to probabilities.
    """

    arm: Arm
    draw: int
    seed: int
    metrics: Mapping[str, Mapping[Metric, float | None]]
    resampled: Mapping[str, Mapping[Metric, NDArray[np.float64]]] = field(default_factory=dict)
    train_s: float | None = None
    rows_per_s: float | None = None
    drawn: Drawn = "rows"
    scarce: int | None = None


class Difference(BaseModel):
    """Mean over draws and seeds of `arm - baseline`. An interval over a single seed or draw does not exist.

    `over_rows` is the 95 % interval of the bootstrap, `narrow_over_rows` that of 90 %; both draw what `drawn` says.
    `seed_noise` is that of all arms, from which `over_seeds` is taken where there are two seeds. `scarce` is how many
    users (or rows) have a click, or a row without one, where these are too few for a bootstrap over all rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: Arm
    baseline: Arm
    slice: str
    metric: Metric
    arm_mean: float
    baseline_mean: float
    mean: float
    over_seeds: Interval | None
    over_draws: Interval | None
    over_rows: Interval | None
    by_seed: tuple[float, ...]
    by_draw: tuple[float, ...]
    narrow_over_rows: Interval | None = None
    seed_noise: SeedNoise | None = None
    drawn: Drawn = "rows"
    scarce: int | None = None

    @property
    def over_runs(self) -> Interval | None:
        """The interval over draws, or over seeds where there is one draw: a single draw's is far too narrow."""
        return self.over_draws or self.over_seeds

    @property
    def by_run(self) -> tuple[float, ...]:
        """The differences that `over_runs` is taken over."""
        return self.by_draw if len(self.by_draw) > 1 else self.by_seed

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Those that there are."""
        return tuple(found for found in (self.over_draws, self.over_seeds, self.over_rows) if found is not None)

    @property
    def widest(self) -> Interval | None:
        """The widest of the intervals, which is what a difference is shown with; None where runs have none."""
        return None if self.over_runs is None else max(self.intervals, key=lambda ends: ends[1] - ends[0])

    @property
    def widest_over(self) -> str:
        """What the widest interval is over: draws, seeds, or what the bootstrap draws; empty for none."""
        if self.widest == self.over_rows and self.over_rows is not None:
            return self.drawn
        return "" if self.widest is None else "draws" if self.widest == self.over_draws else "seeds"

    @property
    def above_zero(self) -> bool:
        """There is an interval over runs, and all intervals lie above zero."""
        return self.over_runs is not None and all(low > 0 for low, _ in self.intervals)

    @property
    def below_zero(self) -> bool:
        """There is an interval over runs, and all intervals lie below zero."""
        return self.over_runs is not None and all(high < 0 for _, high in self.intervals)

    def ahead(self, margin: float) -> bool:
        """It is surely above zero, and by as much as matters."""
        return self.above_zero and self.mean >= margin

    def behind(self, margin: float) -> bool:
        """It is surely below zero, and by as much as matters."""
        return self.below_zero and self.mean <= -margin

    def rows_within(self, margin: float) -> bool:
        """The test rows rule out, one-sided at 5 % each, a difference of the margin in either direction."""
        return self.narrow_over_rows is None or _inside(self.narrow_over_rows, margin)

    def equivalent(self, margin: float) -> bool:
        """Two one-sided tests (Schuirmann 1987) rule out a difference of the margin: over rows, seeds and draws."""
        narrow = [t_interval(some, confidence=0.9) for some in (self.by_seed, self.by_draw) if len(some) > 1]
        if self.seed_noise is not None:
            narrow = [self.seed_noise.interval(self.by_seed, confidence=0.9)]
        return (
            self.over_runs is not None
            and self.rows_within(margin)
            and all(one is not None and _inside(one, margin) for one in narrow)
        )

    @property
    def detectable(self) -> float | None:
        """The smallest difference that would have been seen as one four times in five; None without an interval."""
        reach = [(high - low) / 2 for low, high in self.intervals]
        return _POWER * max(reach) if reach else None

    @property
    def detectable_by_rows(self) -> float | None:
        """The same if nothing but the test rows were left to chance; None without a bootstrap."""
        return None if self.over_rows is None else _POWER * (self.over_rows[1] - self.over_rows[0]) / 2


def _inside(ends: Interval, margin: float) -> bool:
    return -margin < ends[0] and ends[1] < margin


def t_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval | None:
    """mean +- t(n-1) s / sqrt(n), of no width for equal values; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * math.sqrt(variance / len(values))
    return mean - reach, mean + reach


def paired_difference(
    ours: Sequence[Run],
    theirs: Sequence[Run],
    *,
    part: str = ALL_ROWS,
    metric: Metric = "auc",
    noise: SeedNoise | None = None,
) -> Difference | None:
    """The difference of two arms in one slice, run by run; None where a run has no such metric.

    Args:
        ours: the arm's runs.
        theirs: the baseline's, of the same draws and seeds in any order.
        part: the slice.
        metric: which.
        noise: that of all arms over seeds, in the place of the pair's own where it is larger; one draw alone has it.
    """
    of_cell = {(run.draw, run.seed): run for run in theirs}
    pairs = [(run, of_cell[run.draw, run.seed]) for run in ours]
    values = {}
    for run, other in pairs:
        a, b = (one.metrics.get(part, {}).get(metric) for one in (run, other))
        if a is None or b is None:
            return None
        values[run.draw, run.seed] = (float(a), float(b))
    gaps = {cell: round(a - b, 12) for cell, (a, b) in values.items()}  # 12 digits: drops rounding noise
    by_draw, by_seed = _means(gaps, 0), _means(gaps, 1)
    over_rows = _over_rows(pairs, part, metric)
    return Difference(
        arm=ours[0].arm,
        baseline=theirs[0].arm,
        slice=part,
        metric=metric,
        arm_mean=math.fsum(a for a, _ in values.values()) / len(values),
        baseline_mean=math.fsum(b for _, b in values.values()) / len(values),
        mean=math.fsum(gaps.values()) / len(gaps),
        over_seeds=t_interval(by_seed) if noise is None else noise.interval(by_seed),
        over_draws=t_interval(by_draw),
        over_rows=over_rows[0] if over_rows else None,
        by_seed=by_seed,
        by_draw=by_draw,
        narrow_over_rows=over_rows[1] if over_rows else None,
        drawn=ours[0].drawn,
        scarce=ours[0].scarce if part == ALL_ROWS else None,
        seed_noise=noise,
    )


def _over_rows(pairs: Sequence[tuple[Run, Run]], part: str, metric: Metric) -> tuple[Interval, Interval] | None:
    """The intervals of 95 and 90 %."""
    samples = [[one.resampled.get(part, {}).get(metric) for one in pair] for pair in pairs]
    gaps = [ours - theirs for ours, theirs in samples if ours is not None and theirs is not None]
    if len(gaps) < len(pairs):
        return None
    means = np.mean(gaps, axis=0)  # (W,)
    if np.isnan(means).all():
        return None
    low, high, narrow_low, narrow_high = map(float, np.nanpercentile(means, [2.5, 97.5, 5, 95]))
    return (low, high), (narrow_low, narrow_high)


def _means(gaps: Mapping[tuple[int, int], float], axis: int) -> tuple[float, ...]:
    """Mean difference per draw (axis 0) or per seed (axis 1)."""
    groups: dict[int, list[float]] = {}
    for cell, gap in gaps.items():
        groups.setdefault(cell[axis], []).append(gap)
    return tuple(math.fsum(values) / len(values) for _, values in sorted(groups.items()))
