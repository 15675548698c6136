"""The random-effects mean against other ways of computing it, and which differences a contrast means."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from research.datasets.tables import names, spec_of
from research.many.goal import champion, champions, cpu_s
from research.many.meta import random_effects
from research.many.page import effects, page
from research.many.picture import forest, write_picture
from research.many.study import Plan, groups_of
from research.results import RESULTS, load

EFFECTS = [0.10, 0.30, 0.35, 0.65, 0.45, 0.15]
ERRORS = [
    0.173,
    0.173,
    0.224,
    0.100,
    0.224,
    0.141,
]  # Borenstein et al. 2009, table 14.1: variances .03 .03 .05 .01 .05 .02


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
    def difference(arm: str, baseline: str, mean: float, metric: str = "auc") -> dict[str, Any]:
        spread = {"over_rows": [mean - 0.0196, mean + 0.0196], "over_seeds": None, "by_seed": [mean]}
        return {"arm": arm, "baseline": baseline, "slice": "all", "metric": metric, "mean": mean, **spread}

    def arm(name: str, role: str, validation: float) -> dict[str, Any]:
        return {"arm": name, "role": role, "auc": 0.7, "user_auc": 0.6, "logloss": 0.5, "validation_auc": validation,
                "train_s": 1.0, "rows_per_s": None}  # fmt: skip

    arms = [arm("plain", "plain", 0.71), arm("paper", "treatment", 0.70), arm("paper permuted", "permuted", 0.9),
            arm("lightgbm", "rival", 0.72), arm("catboost", "rival", 0.73)]  # fmt: skip
    differences = [difference("paper", "plain", gain), difference("lightgbm", "plain", 0.5),
                   difference("catboost", "plain", 0.04)]  # fmt: skip
    deep = [arm("plain", "plain", 0.69), arm("items", "treatment", 0.74), *arms[3:]]
    past = [difference("items", "plain", 0.05), difference("items", "plain", 0.01, "user_auc"),
            difference("items", "catboost", 0.03), difference("items", "catboost", -0.03, "user_auc")]  # fmt: skip
    reading = {"rows": 10, "seeds": 1, "models_before": 4, "read_at": "2026-11-26T10:00:00", "earlier_readings": []}
    tried = [{"backbone": "deepfm", "arm": "plain", "tried": [{"cpu_s": 100.0, "auc": 0.7, "weight_decay": 1e-4}]},
             {"backbone": "deepfm", "arm": "items", "tried": [
                 {"cpu_s": 3.0, "auc": 0.7, "weight_decay": 1e-4}, {"cpu_s": 4.0, "auc": 0.74, "weight_decay": 1e-3}]},
             {"backbone": "fm", "arm": "plain", "tried": [{"cpu_s": 2.0, "auc": 0.71, "weight_decay": 1e-4}]}]  # fmt: skip
    return {
        "set": name, "reading": reading, "cpu_s": {"evaluate": 3.0}, "tried": tried,
        "backbones": [
            {"backbone": "fm", "arms": arms, "differences": differences, "chosen": {"served": "plain"}},
            {"backbone": "deepfm", "arms": deep, "differences": past, "chosen": {"served": "items"}},
        ],
    }  # fmt: skip


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


def test_the_goal_is_judged_by_the_best_of_all_backbones_and_what_its_search_cost() -> None:
    sets = [kept("a", 0.01), kept("b", 0.03)]
    backbone, arm = champion(sets[0])
    assert (backbone["backbone"], arm) == ("deepfm", "items")
    assert cpu_s(sets[0], backbone, "items") == 7.0, "the search of its weight decay, whose best is the model"
    assert cpu_s(sets[0], backbone, "plain") == 100.0
    assert cpu_s({**sets[0], "reading": {"seeds": 2}}, backbone, "items") == 8.0
    assert cpu_s(sets[0], backbone, "catboost") == 1.0
    said = page(sets)
    line = "| a | deepfm items | catboost | 0.7000 against 0.7000 | +0.0300 [+0.0104, +0.0496] |"
    assert line in said
    assert "In AUC: ahead on 2 of 2 (surely on 2, surely behind on 0)" in said
    assert "in AUC within users: ahead on 0 of 2 (surely on 0, surely behind on 2)" in said
    assert "At no more CPU on 0 of 2; ahead in all that there is, at no more CPU, on 0." in said
    defaults = said[said.index("Ours by its defaults") :]
    assert f"{line} 0.6000 against 0.6000 | −0.0300 [−0.0496, −0.0104] | 1 against 1 |" in defaults
    assert "At no more CPU on 2 of 2; ahead in all that there is, at no more CPU, on 0." in defaults
    assert "| a | deepfm | items | +0.0500 [+0.0304, +0.0696]<br>+0.0100 [−0.0096, +0.0296] | -<br>- | -<br>- |" in said


def test_arms_are_those_that_a_set_has_the_columns_for() -> None:
    def names_of(name: str, **changes: Any) -> list[list[str]]:
        groups = groups_of(spec_of(name), Plan(Path(), Path(), **changes))
        return [[group.backbone, str(group.searched), *map(str, group.arms)] for group in groups]

    texts = names_of("movietweetings-100k")
    assert [one[:2] for one in texts] == [
        [backbone, arm] for backbone in ("fm", "deepfm") for arm in ("plain", "items", "history taste")
    ]
    assert {"values untuned", "paper permuted", "lightgbm", "vowpalwabbit"} <= set(texts[0])
    assert {"history taste words", "lightgbm history taste"} <= set(texts[2])
    assert not {"lightgbm", "history taste permuted"} & {arm for one in texts[3:] for arm in one}
    without = [arm for one in names_of("ebnerd-demo") for arm in one]
    assert "history taste" in without
    assert not [arm for arm in without if arm.startswith("values") or arm.endswith(("words", "taste permuted"))]
    assert len(names_of("upworthy")) == 2, "no users, no past"
    (tuned,) = names_of("upworthy", tuned=True, backbones=("fm",))
    assert tuned[2:] == ["plain", "values", "values untuned"]


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


def test_the_picture_has_the_best_of_all_backbones_and_ticks_that_do_not_collide(tmp_path: Path) -> None:
    """Its last panel showed the best of FM, beside a table of the best of both; numbers below it ran into each other."""
    sets = [kept("a", 0.01), kept("b", 0.03)]
    assert [(one.set, one.mean) for one in champions(sets)] == [("a", 0.03), ("b", 0.03)], "deepfm items over catboost"
    stored = [load(path) for name in names() if (path := RESULTS / "many" / f"{name}.parquet").exists()]
    figure = forest(stored)
    figure.draw_without_rendering()
    assert len(figure.axes) == 4
    for axis in figure.axes:
        low, high = axis.get_xlim()
        shown = [tick for tick in axis.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes = [tick.label1.get_window_extent() for tick in shown]
        assert len(boxes) > 2
        for left, right in zip(boxes, boxes[1:], strict=False):
            assert right.x0 - left.x1 > 4
    assert "best backbone, 95 %" in figure.get_supxlabel()
    for name in ("once.svg", "again.svg"):
        write_picture(stored, tmp_path / name)
    assert (tmp_path / "once.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
