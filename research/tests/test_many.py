"""The random-effects mean against other ways of computing it, and which differences a contrast means."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from research.datasets.tables import names
from research.many.meta import random_effects
from research.many.page import effects, page
from research.results import RESULTS, load

EFFECTS = [0.10, 0.30, 0.35, 0.65, 0.45, 0.15]
ERRORS = [0.173, 0.173, 0.224, 0.100, 0.224, 0.141]  # Borenstein et al. 2009, table 14.1: variances .03 .03 .05 .01 .05 .02


def test_the_spread_between_sets_makes_q_equal_its_degrees() -> None:
    found = random_effects(EFFECTS, ERRORS)
    assert found is not None
    weights = 1 / (np.square(ERRORS) + found.tau**2)
    mean = np.average(EFFECTS, weights=weights)
    assert np.sum(weights * (np.array(EFFECTS) - mean) ** 2) == pytest.approx(len(EFFECTS) - 1)
    assert found.mean == pytest.approx(mean)
    # DerSimonian and Laird have tau^2 .037 and the mean .358 for these sets.
    assert found.tau**2 == pytest.approx(0.037, abs=0.015)
    assert found.mean == pytest.approx(0.358, abs=0.01)
    reach = stats.t.ppf(0.975, 5) / math.sqrt(weights.sum())  # the scale is 1, as Q equals its degrees
    assert found.interval == pytest.approx((mean - reach, mean + reach))
    wide = stats.t.ppf(0.975, 4) * math.sqrt(found.tau**2 + 1 / weights.sum())
    assert found.prediction == pytest.approx((mean - wide, mean + wide))


def test_sets_that_agree_have_no_spread_and_the_common_mean() -> None:
    found = random_effects([0.1, 0.1, 0.1], [0.01, 0.02, 0.01])
    assert found is not None
    assert (found.tau, found.mean) == (0.0, pytest.approx(0.1))
    assert random_effects([0.1], [0.01]) is None
    two = random_effects([0.1, 0.2], [0.01, 0.01])
    assert two is not None
    assert two.prediction is None


def kept(name: str, gain: float) -> dict[str, Any]:
    def difference(arm: str, baseline: str, mean: float) -> dict[str, Any]:
        spread = {"over_rows": [mean - 0.0196, mean + 0.0196], "over_seeds": None, "by_seed": [mean]}
        return {"arm": arm, "baseline": baseline, "slice": "all", "metric": "auc", "mean": mean, **spread}

    def arm(name: str, role: str, validation: float) -> dict[str, Any]:
        return {"arm": name, "role": role, "auc": 0.7, "logloss": 0.5, "validation_auc": validation, "train_s": 1.0,
                "rows_per_s": None}  # fmt: skip

    arms = [arm("plain", "plain", 0.71), arm("paper", "treatment", 0.70), arm("paper permuted", "permuted", 0.9),
            arm("lightgbm", "rival", 0.72), arm("catboost", "rival", 0.73)]  # fmt: skip
    differences = [difference("paper", "plain", gain), difference("lightgbm", "plain", 0.5),
                   difference("catboost", "plain", 0.04)]  # fmt: skip
    reading = {"rows": 10, "seeds": 1, "models_before": 4, "read_at": "2026-11-26T10:00:00", "earlier_readings": []}
    return {"set": name, "reading": reading, "cpu_s": {"evaluate": 3.0},
            "backbones": [{"backbone": "fm", "arms": arms, "differences": differences}]}  # fmt: skip


def test_the_best_of_each_kind_is_that_of_validation() -> None:
    sets = [kept("a", 0.01), kept("b", 0.03)]
    paper = effects(sets, "fm", "paper", "plain")
    assert [(one.set, one.mean) for one in paper] == [("a", 0.01), ("b", 0.03)]
    assert paper[0].error == pytest.approx(0.01)
    (first, _) = effects(sets, "fm", "best of ours", "best rival")
    assert first.mean == pytest.approx(-0.04), "plain against catboost, whose test AUC is not the best rival's"
    assert effects(sets, "fm", "values", "plain") == []
    said = page(sets)
    assert "| best of ours | best rival | both chosen on validation | 2 | −0.0400 |" in said
    assert "| a | **catboost** |" in said


def test_three_seeds_add_to_the_error() -> None:
    one = kept("a", 0.01)
    difference = one["backbones"][0]["differences"][0]
    reach = float(stats.t.ppf(0.975, 2))
    difference |= {"by_seed": [0.0, 0.01, 0.02], "over_seeds": [0.01 - reach * 0.02, 0.01 + reach * 0.02]}
    (found,) = effects([one], "fm", "paper", "plain")
    assert found.error == pytest.approx(math.hypot(0.01, 0.02))


def test_the_page_holds_the_tables_of_what_is_kept() -> None:
    folder = RESULTS / "many"
    kept = [load(path) for name in names() if (path := folder / f"{name}.parquet").exists()]
    text = (Path(__file__).parents[1] / "many.md").read_text(encoding="utf-8")
    assert len(kept) > 1
    assert page(kept) in text
