"""CatBoost (Prokhorenkova et al. 2018): boosted trees with target statistics of categories of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llactr.evaluation.rivals.base import Rival, Settings
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.rows import RivalRows

__all__ = ["CatBoost"]

_MAX_TREES, _PATIENCE = 500, 30


@dataclass(frozen=True)
class _Trees:
    model: Any
    rows: RivalRows
    threads: int

    @property
    def rounds(self) -> int:
        return int(self.model.tree_count_)

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        found = self.model.predict_proba(_table(self.rows, rows), thread_count=self.threads)
        return np.asarray(found[:, 1], np.float32)


@RIVALS.register("catboost")
class CatBoost(Rival):
    """Categories alone, or in pairs as well; CatBoost finds the learning rate itself."""

    package = "catboost"
    search = ({"depth": 6, "max_ctr_complexity": 1}, {"depth": 6, "max_ctr_complexity": 2})

    def fit(self, rows: RivalRows, settings: Settings, *, seed: int, threads: int) -> _Trees:
        """Up to 500 trees, until validation logloss has not fallen for 30."""
        import catboost

        names = list(rows.categories)
        parts = [
            catboost.Pool(_table(rows, part), rows.label[part], cat_features=names)
            for part in (rows.split.train, rows.split.validation)
        ]
        model = catboost.CatBoostClassifier(
            iterations=_MAX_TREES, loss_function="Logloss", random_seed=seed, thread_count=threads,
            has_time=True, use_best_model=True, allow_writing_files=False, verbose=False, **settings,
        )  # fmt: skip
        model.fit(parts[0], eval_set=parts[1], early_stopping_rounds=_PATIENCE)
        return _Trees(model, rows, threads)


def _table(rows: RivalRows, chosen: NDArray[np.int64]) -> pd.DataFrame:
    """Categories as whole numbers, the rest as float32."""
    columns: dict[str, NDArray[Any]] = {name: ids[chosen] for name, ids in rows.categories.items()}
    rest = np.concatenate([rows.numbers[chosen], rows.flags[chosen]], axis=1)
    return pd.DataFrame(columns | {f":{at}": rest[:, at] for at in range(rest.shape[1])})  # no field has a colon
