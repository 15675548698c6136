from __future__ import annotations

import math

import pytest

from llactr.diagnostics import ArmRuns, Comparison, Verdict, compare, paired_difference
from llactr.errors import DataError

# Two-sided 95 % quantiles of Student's t, as printed in tables.
T = {1: 12.7062, 2: 4.30265, 4: 2.77645}


def runs(arm, auc, *, logloss=None, seeds=None):
    return ArmRuns(
        arm=arm, auc=tuple(auc), logloss=tuple(logloss or [0.5] * len(auc)), seeds=tuple(seeds or range(len(auc)))
    )


def test_interval_of_three_seeds_by_hand():
    # differences 1, 2, 3 thousandths: mean 2, s = 1, half width t(2) / sqrt 3
    found = paired_difference(
        runs("enhanced", [0.781, 0.772, 0.763]), runs("plain", [0.780, 0.770, 0.760]), metric="auc"
    )
    half = 0.001 * T[2] / math.sqrt(3)
    assert found.mean == pytest.approx(0.002, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((0.002 - half, 0.002 + half), abs=1e-8)


def test_interval_of_five_seeds_by_hand():
    # differences -2, -1, 0, 1, 2 thousandths: mean 0, s^2 = 10/4
    plain = [0.7] * 5
    found = paired_difference(runs("enhanced", [0.698, 0.699, 0.7, 0.701, 0.702]), runs("plain", plain), metric="auc")
    half = 0.001 * math.sqrt(2.5) * T[4] / math.sqrt(5)
    assert (found.mean, found.high, found.low) == pytest.approx((0, half, -half), abs=1e-8)


def test_two_seeds_have_a_wide_interval():
    found = paired_difference(runs("enhanced", [0.711, 0.713]), runs("plain", [0.71, 0.71]), metric="auc")
    half = 0.001 * math.sqrt(2) * T[1] / math.sqrt(2)  # s = sqrt 2 thousandths
    assert (found.low, found.high) == pytest.approx((0.002 - half, 0.002 + half), abs=1e-7)


def test_seeds_are_paired_by_number_not_by_place():
    found = paired_difference(
        runs("enhanced", [0.8, 0.7], seeds=(2, 1)), runs("plain", [0.69, 0.79], seeds=(1, 2)), metric="auc"
    )
    assert found.per_seed == pytest.approx((0.01, 0.01))


PLAIN = [0.770, 0.772, 0.774]


def arms(enhanced, permuted=None, random=None, plain=PLAIN):
    """Each arm's gains over plain, in thousandths, one a seed."""
    found = [runs("plain", plain)]
    for arm, gains in (("enhanced", enhanced), ("permuted", permuted), ("random", random)):
        if gains is not None:
            found.append(runs(arm, [base + gain / 1000 for base, gain in zip(plain, gains, strict=True)]))
    return found


@pytest.mark.parametrize(
    ("enhanced", "permuted", "random", "expected"),
    [
        ([3, 3.2, 3.1], [1, 1.1, 0.9], [0, 0.1, -0.1], Verdict.MEANING),
        ([3, 3.2, 3.1], [3, 3.1, 3.2], [0, 0.1, -0.1], Verdict.PLACEBO),
        ([3, 3.2, 3.1], [0, 0.1, -0.1], [3, 3.1, 3.2], Verdict.PLACEBO),
        ([3, 3.2, 3.1], [5, 5.2, 5.1], [5, 5.2, 5.1], Verdict.PLACEBO),
        ([3, 3.2, 3.1], None, None, Verdict.UNTESTED),
        ([1, -1, 0.2], [0, 0, 0], [0, 0, 0], Verdict.NO_DIFFERENCE),
        ([-3, -3.2, -3.1], [0, 0, 0], [0, 0, 0], Verdict.HURTS),
        ([3, 30, 60], [0, 0.1, -0.1], [0, 0.1, -0.1], Verdict.NO_DIFFERENCE),  # a large mean, an interval over zero
    ],
)
def test_the_verdict_follows_from_the_figures(enhanced, permuted, random, expected):
    assert compare("FM", arms(enhanced, permuted, random)).verdict is expected


def test_the_same_gain_for_every_seed_has_an_interval_of_no_width():
    found = compare("FM", arms([2, 2, 2], [1, 1, 1], [1, 1, 1]))
    gain = found.difference("enhanced", "plain")
    assert gain is not None
    assert (gain.low, gain.high) == (0.002, 0.002)
    assert found.verdict is Verdict.MEANING


def test_no_change_at_all_is_no_difference():
    found = compare("FM", arms([0, 0, 0], [0, 0, 0], [0, 0, 0]))
    assert found.verdict is Verdict.NO_DIFFERENCE
    assert "0.0000 [0.0000,\u00a00.0000] over 3 seeds" in found.sentence


def test_one_seed_cannot_tell():
    found = compare("FM", [runs("plain", [0.77]), runs("enhanced", [0.79])])
    gain = found.difference("enhanced", "plain")
    assert gain is not None
    assert (gain.mean, gain.low, gain.high) == (pytest.approx(0.02), None, None)
    assert found.verdict is Verdict.UNDECIDED
    assert found.sentence == (
        "FM's test AUC changes by +0.0200 with one seed; without an interval it may be chance, so run at least 3 seeds."
    )


def test_the_sentence_names_the_placebo_that_does_as_well():
    sentence = compare("DeepFM", arms([3, 3.2, 3.1], [3, 3.1, 3.2], [0, 0.1, -0.1])).sentence
    assert sentence.startswith(
        "DeepFM's test AUC changes by +0.0031 [+0.0029,\u00a0+0.0033] over 3 seeds; it is not ahead"
    )
    assert "permuted vectors" in sentence
    assert "random vectors" not in sentence


def test_a_logloss_that_gets_worse_is_said():
    plain, enhanced = arms([3, 3.2, 3.1])
    worse = enhanced.model_copy(update={"logloss": (0.51, 0.511, 0.512)})
    assert "Logloss gets worse: +0.0110" in compare("FM", [plain, worse]).sentence
    better = arms([1, -1, 0.2])[1].model_copy(update={"logloss": (0.49, 0.491, 0.492)})
    assert "Logloss gets better: −0.0090" in compare("FM", [plain, better]).sentence


def test_a_comparison_survives_json():
    found = compare("FM", arms([3, 3.2, 3.1], [1, 1.1, 0.9], [0, 0.1, -0.1]))
    assert Comparison.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([runs("plain", PLAIN)], "arm 'enhanced' is missing, found \\['plain'\\]"),
        ([*arms([1, 1, 1]), runs("enhanced", PLAIN)], "arm 'enhanced' is there twice"),
        ([runs("plain", PLAIN), runs("enhanced", PLAIN[:2])], "ran seeds \\[0, 1\\], plain ran \\[0, 1, 2\\]"),
        ([runs("plain", PLAIN), runs("enhanced", PLAIN, seeds=(1, 1, 2))], "expected at least one, and each once"),
        ([runs("plain", PLAIN), runs("enhanced", [0.7, math.nan, 0.7])], "expected one finite number a seed"),
        ([runs("plain", []), runs("enhanced", [])], "has seeds \\[\\]"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_refused(given, message):
    with pytest.raises(DataError, match=message):
        compare("FM", given)
