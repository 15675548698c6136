"""LightGBM (Ke et al. 2017): boosted trees, which many teams take first for a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llactr.evaluation.rivals.base import Rival, Settings
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.rows import RivalRows

__all__ = ["LightGBM"]

_MAX_TREES, _PATIENCE = 1000, 50


@dataclass(frozen=True)
class _Trees:
    booster: Any
    rows: RivalRows
    by: str
    threads: int

    @property
    def rounds(self) -> int:
        return int(self.booster.best_iteration)

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        shares = self.rows.statistics.shares(rows) if self.by == "statistics" else None
        table = _table(self.rows, rows, shares)
        found = self.booster.predict(table, num_iteration=self.rounds, num_threads=self.threads)
        return np.asarray(found, np.float32)


@RIVALS.register("lightgbm")
class LightGBM(Rival):
    """Categories as LightGBM splits them itself, or by target statistics; small or larger trees."""

    package = "lightgbm"
    search = (
        {"categories": "statistics", "num_leaves": 15},
        {"categories": "statistics", "num_leaves": 63},
        {"categories": "native", "num_leaves": 15},
        {"categories": "native", "num_leaves": 63},
    )

    def fit(self, rows: RivalRows, settings: Settings, *, seed: int, threads: int) -> _Trees:
        """Up to 1,000 trees, until validation logloss has not fallen for 50."""
        import lightgbm

        by = settings["categories"]
        parameters = {
            "objective": "binary", "num_leaves": settings["num_leaves"], "learning_rate": 0.05,
            "min_data_in_leaf": 50, "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1, "seed": seed,
            "deterministic": True, "force_row_wise": True, "num_threads": threads, "verbosity": -1,
        }  # fmt: skip
        native = list(range(len(rows.categories))) if by == "native" else []
        parts = []
        for part in (rows.split.train, rows.split.validation):
            shares = None
            if by == "statistics":
                shares = rows.statistics.training if part is rows.split.train else rows.statistics.shares(part)
            parts.append((_table(rows, part, shares), rows.label[part]))
        training = lightgbm.Dataset(*parts[0], categorical_feature=native, params=parameters)
        held = lightgbm.Dataset(*parts[1], reference=training, categorical_feature=native, params=parameters)
        booster = lightgbm.train(
            parameters, training, _MAX_TREES, valid_sets=[held],
            callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )  # fmt: skip
        return _Trees(booster, rows, by, threads)


def _table(rows: RivalRows, chosen: NDArray[np.int64], shares: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Categories, or their shares and counts (n, A or 2A), then ordered columns and flags."""
    first = [rows.codes[chosen].astype(np.float32)] if shares is None else [shares, rows.statistics.counts(chosen)]
    return np.concatenate([*first, rows.numbers[chosen], rows.flags[chosen]], axis=1)
