"""Chooses settings by validation AUC alone: every combination of a small grid, each with the same seeds.

For larger spaces there is `llactr.ctr.study`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from llactr.ctr.config import TrainConfig
from llactr.ctr.data import CTRData
from llactr.ctr.model import CTRModel
from llactr.ctr.trainer import train
from llactr.errors import InputError

__all__ = ["LAMBDAS", "WEIGHT_DECAYS", "Choice", "Trial", "choose"]

# The grids of the published protocol (arXiv 2505.14057).
WEIGHT_DECAYS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
LAMBDAS = (0.01, 0.05, 0.1, 0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Trial:
    """One combination: its settings, and validation AUC of each seed."""

    settings: dict[str, Any]
    validation_auc: tuple[float, ...]

    @property
    def mean_auc(self) -> float:
        """Mean over seeds."""
        return mean(self.validation_auc)


@dataclass(frozen=True)
class Choice:
    """All combinations in the order they were tried, and the best, the earlier one where two are equal."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The combination with the highest mean validation AUC."""
        return max(self.trials, key=lambda trial: trial.mean_auc)


def choose(
    grid: Mapping[str, Sequence[Any]],
    build: Callable[[dict[str, Any], int], tuple[CTRModel, TrainConfig]],
    data: CTRData,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    progress: Callable[[Trial], None] | None = None,
) -> Choice:
    """Trains every combination with every seed. The test split is never read.

    Args:
        grid: the values of each setting, such as `{"weight_decay": WEIGHT_DECAYS}`.
        build: from the settings of a combination and a seed to a fresh model and how to train it.
        data: rows; those of the test split are not read.
        seeds: of the runs; all combinations have the same.
        progress: called after each combination.

    Raises:
        InputError: the grid or the seeds are empty.
    """
    if not seeds or not all(len(values) for values in grid.values()):
        raise InputError("there is nothing to choose from: give at least one seed, and one value for each setting")
    trials = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        found = []
        for seed in seeds:
            model, config = build(settings, seed)
            found.append(train(model, data, config).history)
        best = tuple(max(record.validation_auc for record in history) for history in found)
        trials.append(Trial(settings, best))
        if progress is not None:
            progress(trials[-1])
    return Choice(tuple(trials))
