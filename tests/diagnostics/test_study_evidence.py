from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from llactr.diagnostics.evidence import Run, differences, t_interval

GAINS = {(0, 0): 0.01, (0, 1): 0.03, (1, 0): 0.02, (1, 1): 0.04, (2, 0): 0.0, (2, 1): 0.02}


def _runs() -> list[Run]:
    found = []
    for (draw, seed), gain in GAINS.items():
        for arm, auc in (("plain", 0.7), ("values", 0.7 + gain)):
            metrics = {"all": {"auc": auc, "logloss": 0.5}, "empty": {"auc": None, "logloss": None}}
            spread = np.linspace(-0.01, 0.01, 101) if arm == "values" else np.zeros(101)
            found.append(Run("fm", arm, draw, seed, metrics, {"all": auc + spread}))
    return found


def test_t_interval_agrees_with_scipy() -> None:
    values = [0.01, 0.03, 0.02, 0.05]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx((low, high))
    assert t_interval([1.0]) is None


def test_differences_are_paired_and_each_interval_has_its_own_spread() -> None:
    entries = {one["metric"]: one for one in differences(_runs())}
    assert set(entries) == {"auc", "logloss"}, "a metric that is not defined is left out"
    one = entries["auc"]
    assert one["difference"] == pytest.approx(0.02)
    assert (one["baseline_mean"], one["arm_mean"]) == (pytest.approx(0.7), pytest.approx(0.72))
    assert one["by_draw"] == pytest.approx([0.02, 0.03, 0.01])
    assert one["over_draws"] == pytest.approx(t_interval([0.02, 0.03, 0.01]))
    assert one["over_seeds"] == pytest.approx(t_interval([0.01, 0.03]))
    assert one["over_rows"] == pytest.approx((0.02 - 0.0095, 0.02 + 0.0095), abs=1e-6)
    assert entries["logloss"]["over_rows"] is None
    assert one["runs"] == 6
