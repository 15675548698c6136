from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from llactr.evaluation.arms import Arm
from llactr.evaluation.evidence import Difference, Run, paired_difference, t_interval

# Two-sided 95 % quantiles of Student's t, as printed in tables.
T = {1: 12.7062, 2: 4.30265, 4: 2.77645}

GAINS = {(0, 0): 0.01, (0, 1): 0.03, (1, 0): 0.02, (1, 1): 0.04, (2, 0): 0.0, (2, 1): 0.02}


def seeds(arm, auc, numbers=None):
    return [
        Run(Arm.parse(arm), 0, seed, {"all": {"auc": value}})
        for seed, value in zip(numbers or range(len(auc)), auc, strict=True)
    ]


def gap(arm, plain, numbers=None) -> Difference:
    found = paired_difference(seeds("paper", arm, numbers), seeds("plain", plain))
    assert found is not None
    return found


def test_t_interval_agrees_with_scipy() -> None:
    values = [0.01, 0.03, 0.02, 0.05]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx((low, high))
    assert t_interval([1.0]) is None


def test_interval_of_three_seeds_by_hand():
    # differences 1, 2, 3 thousandths: mean 2, s = 1, half width t(2) / sqrt 3
    found = gap([0.781, 0.772, 0.763], [0.780, 0.770, 0.760])
    half = 0.001 * T[2] / math.sqrt(3)
    assert found.mean == pytest.approx(0.002, abs=1e-12)
    assert found.over_seeds == pytest.approx((0.002 - half, 0.002 + half), abs=1e-8)
    assert found.over_runs == found.over_seeds
    assert (found.over_draws, found.over_rows) == (None, None)


def test_interval_of_five_seeds_by_hand():
    # differences -2, -1, 0, 1, 2 thousandths: mean 0, s^2 = 10/4
    found = gap([0.698, 0.699, 0.7, 0.701, 0.702], [0.7] * 5)
    half = 0.001 * math.sqrt(2.5) * T[4] / math.sqrt(5)
    assert (found.mean, *found.over_seeds) == pytest.approx((0, -half, half), abs=1e-8)


def test_two_seeds_have_a_wide_interval():
    found = gap([0.711, 0.713], [0.71, 0.71])
    half = 0.001 * math.sqrt(2) * T[1] / math.sqrt(2)  # s = sqrt 2 thousandths
    assert found.over_seeds == pytest.approx((0.002 - half, 0.002 + half), abs=1e-7)


def test_the_same_gain_for_every_seed_has_an_interval_of_no_width():
    assert gap([0.772, 0.774, 0.776], [0.770, 0.772, 0.774]).over_seeds == (0.002, 0.002)


def test_seeds_are_paired_by_number_not_by_place():
    found = paired_difference(seeds("paper", [0.8, 0.7], (2, 1)), seeds("plain", [0.69, 0.79], (1, 2)))
    assert found is not None
    assert found.by_seed == pytest.approx((0.01, 0.01))


def _runs(arm: str, gain: float) -> list[Run]:
    found = []
    for (draw, seed), more in GAINS.items():
        auc = 0.7 + gain * more
        metrics = {"all": {"auc": auc, "logloss": 0.5}, "empty": {"auc": None, "logloss": None}}
        spread = gain * np.linspace(-0.01, 0.01, 101)
        found.append(Run(Arm.parse(arm), draw, seed, metrics, {"all": {"auc": auc + spread}}))
    return found


def test_differences_are_paired_and_each_interval_has_its_own_spread() -> None:
    ours, theirs = _runs("values", 1.0), _runs("plain", 0.0)
    one = paired_difference(ours, theirs)
    assert one is not None
    assert one.mean == pytest.approx(0.02)
    assert (one.baseline_mean, one.arm_mean) == (pytest.approx(0.7), pytest.approx(0.72))
    assert one.by_draw == pytest.approx([0.02, 0.03, 0.01])
    assert one.by_seed == pytest.approx([0.01, 0.03])
    assert one.over_draws == pytest.approx(t_interval([0.02, 0.03, 0.01]))
    assert one.over_seeds == pytest.approx(t_interval([0.01, 0.03]))
    assert one.over_rows == pytest.approx((0.02 - 0.0095, 0.02 + 0.0095), abs=1e-6)
    assert one.over_runs == one.over_draws, "a single draw's interval would be too narrow"
    loss = paired_difference(ours, theirs, metric="logloss")
    assert loss is not None
    assert loss.over_rows is None
    assert paired_difference(ours, theirs, part="empty") is None, "a metric that is not defined is left out"


@pytest.mark.parametrize(
    ("draws", "seeds", "rows", "above", "below"),
    [
        (None, (0.1, 0.2), None, True, False),
        ((0.1, 0.2), (0.1, 0.2), (0.1, 0.2), True, False),
        ((-0.1, 0.2), (0.1, 0.2), (0.1, 0.2), False, False),
        ((0.1, 0.2), (-0.1, 0.2), (0.1, 0.2), False, False),
        ((0.1, 0.2), (0.1, 0.2), (-0.1, 0.2), False, False),
        (None, None, (0.1, 0.2), False, False),  # one run: nothing is known about other trainings
        (None, (-0.2, -0.1), (-0.2, -0.1), False, True),
        (None, (-0.2, -0.1), (0.1, 0.2), False, False),
    ],
)
def test_a_difference_counts_when_all_its_intervals_agree(draws, seeds, rows, above, below):
    found = Difference(
        arm="values", baseline="plain", slice="all", metric="auc", arm_mean=0.7, baseline_mean=0.6, mean=0.1,
        over_seeds=seeds, over_draws=draws, over_rows=rows, by_seed=(0.1,), by_draw=(0.1,),
    )  # fmt: skip
    assert (found.above_zero, found.below_zero) == (above, below)


@pytest.mark.parametrize(
    ("count", "rows", "share"),
    [(3, 1.0, (0.03, 0.075)), (3, 4.0, (0.03, 0.075)), (5, 1.0, (0.06, 0.11)), (5, 8.0, (0.03, 0.075))],
)
def test_how_often_equal_arms_are_called_different(count: int, rows: float, share: tuple[float, float]) -> None:
    """Seeds and rows are asked apart, each at 5 %: of arms without a difference that is known to be called one.

    `rows` is the standard error over test rows, in those of the mean over seeds.
    """
    rng = np.random.default_rng(0)
    quantiles = stats.norm.ppf((np.arange(200) + 0.5) / 200)
    called = 0
    for _ in range(800):
        gains = rng.normal(scale=np.sqrt(count), size=count) + rng.normal(scale=rows)
        runs = [
            [Run(Arm.parse(name), 0, seed, {"all": {"auc": value}}, {"all": {"auc": value + width * quantiles}})
             for seed, value in enumerate(some)]
            for name, some, width in (("paper", gains, rows), ("plain", 0 * gains, 0.0))
        ]  # fmt: skip
        found = paired_difference(*runs)
        assert found is not None
        called += found.above_zero or found.below_zero
    assert share[0] < called / 800 < share[1], called / 800
