"""Differences between the arms of a study, with an interval for each thing that could have come out otherwise.

An arm's runs differ by seed (initial weights, order of batches), by draw (which items were held out) and by the rows
that happened to be tested. A difference is the mean over draws and seeds of `arm - plain`, paired; it gets a t-interval
over seeds, a t-interval over draws, and a percentile interval of a bootstrap over test rows, which resamples the same
rows for all runs.

Letters: N test rows, W resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # type: ignore[import-untyped]

__all__ = ["Interval", "Run", "differences", "t_interval"]

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Run:
    """One trained model on the test rows.

    Attributes:
        metrics: slice -> metric -> value; None where it is not defined.
        resampled: slice -> (W,) AUC of each resample.
    """

    backbone: str
    arm: str
    draw: int
    seed: int
    metrics: Mapping[str, Mapping[str, float | None]]
    resampled: Mapping[str, NDArray[np.float64]]


def t_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """mean +- t(n-1) s / sqrt(n); None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * math.sqrt(variance / len(values))
    return mean - reach, mean + reach


def differences(runs: Sequence[Run], *, baseline: str = "plain", confidence: float = 0.95) -> list[dict[str, Any]]:
    """One entry per backbone, arm, slice and metric: mean of both arms, mean difference, intervals, per-draw means."""
    of_key = {(run.backbone, run.arm, run.draw, run.seed): run for run in runs}
    pairs = dict.fromkeys((run.backbone, run.arm) for run in runs if run.arm != baseline)
    found = []
    for backbone, arm in pairs:
        cells = [(draw, seed) for name, kind, draw, seed in of_key if (name, kind) == (backbone, arm)]
        ours = {cell: of_key[backbone, arm, *cell] for cell in cells}
        theirs = {cell: of_key[backbone, baseline, *cell] for cell in cells}
        for part, metrics in ours[cells[0]].metrics.items():
            for metric in metrics:
                values = {
                    cell: (ours[cell].metrics[part][metric], theirs[cell].metrics[part][metric]) for cell in cells
                }
                if any(a is None or b is None for a, b in values.values()):
                    continue
                gaps = {cell: float(a) - float(b) for cell, (a, b) in values.items()}  # type: ignore[arg-type]
                resampled = None
                if metric == "auc":
                    samples = np.mean(
                        [ours[cell].resampled[part] - theirs[cell].resampled[part] for cell in cells], axis=0
                    )
                    tail = 100 * (1 - confidence) / 2
                    low, high = np.nanpercentile(samples, [tail, 100 - tail])
                    resampled = (float(low), float(high))
                by_draw, by_seed = _means(gaps, 0), _means(gaps, 1)
                found.append(
                    {
                        "backbone": backbone,
                        "arm": arm,
                        "baseline": baseline,
                        "slice": part,
                        "metric": metric,
                        "arm_mean": math.fsum(float(a) for a, _ in values.values()) / len(values),  # type: ignore[arg-type]
                        "baseline_mean": math.fsum(float(b) for _, b in values.values()) / len(values),  # type: ignore[arg-type]
                        "difference": math.fsum(gaps.values()) / len(gaps),
                        "over_seeds": t_interval(list(by_seed.values()), confidence=confidence),
                        "over_draws": t_interval(list(by_draw.values()), confidence=confidence),
                        "over_rows": resampled,
                        "by_draw": list(by_draw.values()),
                        "runs": len(gaps),
                    }
                )
    return found


def _means(gaps: Mapping[tuple[int, int], float], axis: int) -> dict[int, float]:
    """Mean difference per draw (axis 0) or per seed (axis 1)."""
    groups: dict[int, list[float]] = {}
    for cell, gap in gaps.items():
        groups.setdefault(cell[axis], []).append(gap)
    return {name: math.fsum(values) / len(values) for name, values in sorted(groups.items())}
