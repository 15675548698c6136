from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from llactr.errors import DataError
from llactr.evaluation.arms import PLAIN as PLAIN_ARM
from llactr.evaluation.arms import Arm
from llactr.evaluation.comparison import Comparison, compare
from llactr.evaluation.evidence import Run
from llactr.evaluation.verdict import Verdict


def runs(arm, auc, *, logloss=None, seeds=None, draw=0, spread=None):
    """One run a seed; `spread` is that of a bootstrap of 101 resamples around its AUC."""
    found = []
    for number, value in enumerate(auc):
        metrics = {"all": {"auc": value, "logloss": (logloss or [0.5] * len(auc))[number]}}
        resampled = {} if spread is None else {"all": {"auc": value + np.linspace(-spread, spread, 101)}}
        found.append(Run(Arm.parse(arm), draw, (seeds or range(len(auc)))[number], metrics, resampled))
    return found


PLAIN = [0.770, 0.772, 0.774]
SURE = [3, 3.2, 3.1]
NOTHING = [0, 0.1, -0.1]


def arms(treatment, permuted=None, random=None, words=None, *, plain=PLAIN, arm="values"):
    """Each arm's gains over plain, in thousandths, one a seed."""
    found = runs("plain", plain)
    placebos = {f"{arm} permuted": permuted, f"{arm} random": random, f"{arm} words": words}
    for name, gains in {arm: treatment, **placebos}.items():
        if gains is not None:
            found += runs(name, [base + gain / 1000 for base, gain in zip(plain, gains, strict=True)])
    return found


def judged(given, backbone="FM"):
    (found,) = compare(backbone, given).judgements
    return found


@pytest.mark.parametrize(
    ("treatment", "permuted", "random", "expected"),
    [
        (SURE, [1, 1.1, 0.9], NOTHING, Verdict.MEANING),
        ([10, 10.2, 10.1], [7, 7.1, 6.9], NOTHING, Verdict.PART),  # ahead of both, and permuted vectors gain most of it
        ([10, 10.2, 10.1], [4, 4.1, 3.9], NOTHING, Verdict.MEANING),
        (SURE, [3, 3.1, 3.2], NOTHING, Verdict.PLACEBO),
        (SURE, NOTHING, [3, 3.1, 3.2], Verdict.PLACEBO),
        (SURE, [5, 5.2, 5.1], [5, 5.2, 5.1], Verdict.PLACEBO),
        (SURE, None, None, Verdict.UNTESTED),
        ([1, -1, 0.2], [0, 0, 0], [0, 0, 0], Verdict.TOO_FEW_RUNS),
        ([0.2, 0.1, 0.3], [0, 0, 0], [0, 0, 0], Verdict.NO_DIFFERENCE),  # surely above zero, and surely below .001
        ([-0.1, -0.1, -0.1], None, None, Verdict.NO_DIFFERENCE),  # -.0001 hurts nobody
        ([0.9, 1.3, 0.2], NOTHING, NOTHING, Verdict.TOO_FEW_RUNS),
        ([0.9, 0.92, 1.06], NOTHING, NOTHING, Verdict.SMALL),  # above zero, its mean of .00096 not surely below .001
        ([-3, -3.2, -3.1], [0, 0, 0], [0, 0, 0], Verdict.HURTS),
        ([3, 30, 60], NOTHING, NOTHING, Verdict.TOO_FEW_RUNS),  # a large mean, an interval over zero
    ],
)
@pytest.mark.parametrize("arm", ["paper", "fre", "values", "fre values", "both"])
def test_the_verdict_follows_from_the_figures(treatment, permuted, random, expected, arm):
    found = judged(arms(treatment, permuted, random, arm=arm))
    assert (str(found.arm), str(found.baseline), found.verdict) == (arm, "plain", expected)


@pytest.mark.parametrize(
    ("permuted", "words", "expected"),
    [
        (NOTHING, [3, 3.1, 3.2], Verdict.WORDS),
        (NOTHING, NOTHING, Verdict.MEANING),
        ([3, 3.1, 3.2], [3, 3.1, 3.2], Verdict.PLACEBO),
        (None, [3, 3.1, 3.2], Verdict.PLACEBO),
    ],
)
def test_a_bag_of_words_has_meaning_but_no_language_model(permuted, words, expected):
    assert judged(arms(SURE, permuted, words=words)).verdict is expected


def test_untuned_values_are_compared_with_their_bag_of_words_too():
    given = [*runs("plain", PLAIN), *runs("values untuned", [0.78] * 3), *runs("values words", PLAIN)]
    found = compare("FM", given)
    assert found.difference("values untuned", "values words") is not None
    assert "a bag of the same words" in found.judgements[0].sentence


def test_each_treatment_has_its_own_verdict_and_its_own_placebos():
    given = arms(SURE, SURE, arm="paper") + [run for run in arms(SURE, NOTHING) if run.arm != PLAIN_ARM]
    found = compare("FM", given)
    assert {str(one.arm): one.verdict for one in found.judgements} == {
        "paper": Verdict.PLACEBO, "values": Verdict.MEANING,
    }  # fmt: skip
    assert found.difference("paper", "values permuted") is None


def test_draws_count_more_than_seeds():
    """Every seed gains the same, but not every draw: the interval over draws holds zero."""
    given = [
        run
        for draw, gain in enumerate((4, -1, 3))
        for run in (*runs("plain", PLAIN, draw=draw), *runs("paper", [b + gain / 1000 for b in PLAIN], draw=draw))
    ]
    found = compare("FM", given)
    gap = found.difference("paper")
    assert gap is not None
    assert gap.over_seeds == pytest.approx((0.002, 0.002))
    assert found.judgements[0].verdict is Verdict.TOO_FEW_RUNS
    assert "over 3 draws x 3 seeds: the interval holds zero" in found.judgements[0].sentence
    assert (found.draws, found.seeds) == (3, (0, 1, 2))


def test_a_gain_that_other_test_rows_would_undo_is_no_difference():
    plain = runs("plain", PLAIN, spread=0.0)
    better = [base + gain / 1000 for base, gain in zip(PLAIN, SURE, strict=True)]
    assert judged([*plain, *runs("paper", better, spread=0.002)]).verdict is Verdict.UNTESTED
    found = judged([*plain, *runs("paper", better, spread=0.004)])
    assert found.verdict is Verdict.TOO_FEW_CLICKS
    # 0.0031 plus and minus 95 % of 0.004
    assert "the interval over rows [−0.0007,\u00a0+0.0069] holds zero" in found.sentence


def test_no_change_at_all_is_no_difference():
    found = judged(arms([0, 0, 0], [0, 0, 0], [0, 0, 0]))
    assert found.verdict is Verdict.NO_DIFFERENCE
    assert "0.0000 [0.0000,\u00a00.0000] over 3 seeds" in found.sentence


def test_one_seed_cannot_tell():
    given = [*runs("plain", [0.77], spread=0.0), *runs("paper", [0.79], spread=0.001)]
    found = judged(given)
    assert found.verdict is Verdict.UNDECIDED
    assert found.sentence == (
        "With paper instead of plain, FM's test AUC changes by +0.0200 with one seed; without an interval it may be "
        "chance, so run at least 3 seeds."
    )


def test_the_sentence_names_the_placebo_that_does_as_well():
    sentence = judged(arms(SURE, [3, 3.1, 3.2], NOTHING), "DeepFM").sentence
    assert sentence.startswith(
        "With values instead of plain, DeepFM's test AUC changes by +0.0031 [+0.0029,\u00a0+0.0033] over 3 seeds; it is not ahead"
    )
    assert "permuted vectors" in sentence
    assert "random vectors" not in sentence


def test_a_logloss_that_gets_worse_is_said():
    better = [base + gain / 1000 for base, gain in zip(PLAIN, SURE, strict=True)]
    worse = runs("paper", better, logloss=[0.51, 0.511, 0.512])
    assert "Logloss gets worse: +0.0110" in judged([*runs("plain", PLAIN), *worse]).sentence
    same = runs("paper", [PLAIN[0] + 0.001, PLAIN[1] - 0.001, PLAIN[2]], logloss=[0.49, 0.491, 0.492])
    assert "Logloss gets better: −0.0090" in judged([*runs("plain", PLAIN), *same]).sentence


def test_a_comparison_survives_json():
    found = compare("FM", arms(SURE, [1, 1.1, 0.9], NOTHING))
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_arms_have_means_and_an_order_of_their_own():
    found = compare("FM", list(reversed(arms(SURE, NOTHING))))
    assert [str(runs.arm) for runs in found.arms] == ["plain", "values", "values permuted"]
    assert found.arms[0].mean() == pytest.approx(0.772)
    assert found.arms[0].mean("ece") is None
    assert found.arms[0].mean("auc", "unseen items") is None


def test_plain_alone_is_not_judged():
    assert compare("FM", runs("plain", PLAIN)).judgements == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (runs("values", PLAIN), "arm 'plain' is missing, found \\['values'\\]"),
        ([*arms(SURE), *runs("values", PLAIN)], "expected each once"),
        (
            runs("plain", PLAIN) + runs("values", PLAIN[:2]),
            "ran the draws and seeds \\[\\(0, 0\\), \\(0, 1\\)\\], plain",
        ),
        (runs("plain", PLAIN) + runs("values", PLAIN, draw=1), "differences are paired"),
        (runs("plain", PLAIN) + runs("values", [0.7, math.nan, 0.7]), "seed 1 has the test AUC nan: expected a finite"),
        (runs("plain", [None]), "the test split needs clicks and non-clicks"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(given, message):
    with pytest.raises(DataError, match=message):
        compare("FM", given)


def test_a_test_that_is_too_small_says_what_it_would_have_shown():
    """On real bandit clicks an interval of [-.164, +.275] was called no difference."""
    found = compare("FM", [*runs("plain", PLAIN, spread=0.0), *runs("paper", [b + 0.05 for b in PLAIN], spread=0.22)])
    (said,) = found.judgements
    assert said.verdict is Verdict.TOO_FEW_CLICKS
    gap = found.difference("paper")
    assert gap is not None
    assert gap.over_rows == pytest.approx((0.05 - 0.209, 0.05 + 0.209), abs=1e-4)
    assert gap.narrow_over_rows == pytest.approx((0.05 - 0.198, 0.05 + 0.198), abs=1e-4)
    assert gap.detectable == pytest.approx(1.43 * 0.209, abs=1e-4)
    assert "this test would have shown a difference of 0.2989, 0.001 matters" in said.sentence


def test_no_difference_is_said_only_where_one_of_the_margin_is_ruled_out():
    same = [*runs("plain", PLAIN, spread=0.0), *runs("paper", PLAIN, spread=0.001)]
    assert judged(same).verdict is Verdict.NO_DIFFERENCE, "90 % of it lie within .0009"
    assert "a difference of 0.001 either way is ruled out" in judged(same).sentence
    wider = [*runs("plain", PLAIN, spread=0.0), *runs("paper", PLAIN, spread=0.0012)]
    assert judged(wider).verdict is Verdict.TOO_FEW_CLICKS, "90 % of it reach .00108"
    assert compare("FM", wider, margin=0.002).judgements[0].verdict is Verdict.NO_DIFFERENCE


def test_a_margin_of_ones_own():
    given = arms(SURE, NOTHING)
    assert compare("FM", given, margin=0.003).judgements[0].verdict is Verdict.MEANING
    small = compare("FM", given, margin=0.0032).judgements[0]
    assert small.verdict is Verdict.SMALL
    assert "all" not in small.sentence
    assert small.sentence.endswith(
        "the whole interval lies above zero, but its mean is less than the 0.0032 that matters."
    )


def test_to_be_ahead_of_a_placebo_by_less_than_matters_is_not_enough():
    assert judged(arms(SURE, [2.5, 2.7, 2.6])).verdict is Verdict.PLACEBO


def test_tuned_values_are_compared_with_untuned_ones_too():
    given = [*runs("plain", PLAIN), *runs("values untuned", [0.775] * 3), *runs("values", [0.78] * 3)]
    gap = compare("FM", given).difference("values", "values untuned")
    assert gap is not None
    assert gap.mean == pytest.approx(0.005)


@pytest.mark.parametrize(("level", "held"), [(0.002, ", which holds zero"), (0.01, "")])
def test_an_arm_that_reads_the_past_says_what_it_changes_within_users(level, held):
    """A person's level lifts AUC and ranks nothing: a headline of AUC alone would have hidden that."""

    def with_users(arm, auc, users):
        found = runs(arm, auc, spread=0.0)
        for run in found:
            run.metrics["all"]["user_auc"] = users
            run.resampled["all"]["user_auc"] = users + np.linspace(-0.004, 0.004, 101)
        return found

    plain = [*runs("plain", PLAIN, spread=0.0)]
    for run in plain:
        run.metrics["all"]["user_auc"] = 0.6
        run.resampled["all"]["user_auc"] = np.full(101, 0.6)
    given = [*plain, *with_users("history", [0.8] * 3, 0.6 + level), *with_users("paper", [0.8] * 3, 0.6 + level)]
    sentences = {str(one.arm): one.sentence for one in compare("FM", given).judgements}
    low, high = (f"{level + end:+.4f}".replace("-", "−") for end in (-0.0038, 0.0038))
    wanted = f" AUC within users changes by +{level:.4f} [{low},\u00a0{high}] over rows{held}."
    assert wanted in sentences["history"]
    assert "within users" not in sentences["paper"]


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ("users", "; the clicks, or the rows without one, are of 1 of the test users alone: with fewer than 10 no"),
        ("rows", "; the clicks, or the rows without one, are 1 of the test rows alone: with fewer than 10 no interval"),
    ],
)
def test_a_single_click_bounds_nothing(drawn, said):
    """All resamples of one click hold it or have no AUC: the interval was [-.41, -.26] where nothing can be known."""

    def few(arm, auc):
        return [replace(one, drawn=drawn, scarce=1) for one in runs(arm, auc, logloss=[1 - a for a in auc])]

    found = compare("FM", [*few("plain", PLAIN), *few("history", [a + 0.05 for a in PLAIN])])
    (judgement,) = found.judgements
    assert found.scarce
    assert not compare("FM", runs("plain", PLAIN)).scarce
    assert judgement.verdict is Verdict.TOO_FEW_CLICKS
    assert said in judgement.sentence
    assert "Logloss" not in judgement.sentence, "its interval over seeds alone says nothing either"
    (alone,) = compare("FM", [*few("plain", PLAIN[:1]), *few("history", [PLAIN[0] + 0.05])]).judgements
    assert alone.verdict is Verdict.UNDECIDED


def test_no_test_shows_a_difference_for_which_auc_has_no_room():
    """A report said that a difference of 1.0390 would have been seen."""
    wide = [*runs("plain", PLAIN, spread=0.0), *runs("paper", [0.3, 0.9, 0.8], spread=0.01)]
    said = judged(wide).sentence
    assert "; this test would have shown no difference that AUC has room for, with many more runs 0.0136, 0.001" in said


def test_what_the_level_alone_does_within_users_is_told_apart():
    """On noise AUC within users rose by +.1674 [+.0602, +.2712], by a level that moves with the outcomes themselves."""

    def with_users(arm, auc, users, moment):
        found = runs(arm, auc, spread=0.0)
        for run in found:
            run.metrics["all"] |= {"user_auc": users, "moment_auc": moment}
            for metric, value in (("user_auc", users), ("moment_auc", moment)):
                run.resampled["all"][metric] = value + np.linspace(-0.1, 0.1, 101) * (arm != "plain")
        return found

    given = [with_users("plain", PLAIN, 0.5, 0.5)]
    given += [with_users(arm, [0.8] * 3, 0.67, 0.52) for arm in ("items", "history")]
    said = {str(one.arm): one.sentence for one in compare("FM", [run for some in given for run in some]).judgements}
    level = "AUC within users changes by +0.1700 [+0.0750,\u00a0+0.2650] over rows"
    assert said["history"].endswith(
        f"{level}; without the person's own level, which is one for all candidates of a moment, by "
        "+0.0200 [−0.0750,\u00a0+0.1150] over rows, which holds zero."
    )
    assert said["items"].endswith(f"{level}."), "items read nothing of the person"
    for run in (run for some in given for run in some):
        run.resampled["all"].pop("moment_auc")
    found = compare("FM", [run for some in given for run in some]).judgements
    assert found[-1].sentence.endswith("of a moment, by +0.0200, of too few users to say how surely.")
