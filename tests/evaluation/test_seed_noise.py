"""Noise of seeds that is pooled over arms, against an analysis of variance by least squares, and what follows from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from llactr.evaluation.comparison import Comparison, compare
from llactr.evaluation.evidence import t_interval
from llactr.evaluation.seed_noise import SeedNoise, pooled_noise
from llactr.evaluation.verdict import Verdict
from tests.evaluation.test_comparison import PLAIN, runs

FIGURES = [[0.770, 0.772], [0.780, 0.783], [0.775, 0.776], [0.771, 0.774]]


def test_it_is_what_least_squares_leave() -> None:
    """Arms and seeds as dummies, fitted by least squares: four arms, two seeds, three degrees of freedom."""
    design, y = [], []
    for arm, row in enumerate(FIGURES):
        for seed, value in enumerate(row):
            design.append([float(arm == one) for one in range(4)] + [float(seed == 1)])
            y.append(value)
    left = np.array(y) - np.array(design) @ np.linalg.lstsq(np.array(design), np.array(y), rcond=None)[0]
    found = pooled_noise(FIGURES)
    assert found is not None
    assert found.freedom == 3
    assert found.deviation == pytest.approx(math.sqrt(2 * (left**2).sum() / 3))


@pytest.mark.parametrize("figures", [[[0.7, 0.8]], FIGURES[:2], [[0.7, 0.8, 0.9]] * 4, [[0.7]] * 4, []])
def test_other_seeds_or_fewer_arms_have_none(figures) -> None:
    assert pooled_noise(figures) is None


def test_its_interval_takes_the_larger_deviation() -> None:
    noise = SeedNoise(deviation=0.002, freedom=6)
    quiet = stats.t.ppf(0.975, 6) * 0.002 / math.sqrt(2)
    assert noise.interval([0.01, 0.01]) == pytest.approx((0.01 - quiet, 0.01 + quiet))
    own = math.sqrt(2) * 0.01  # standard deviation of 0 and .02
    loud = stats.t.ppf(0.95, 6) * own / math.sqrt(2)
    assert noise.interval([0.0, 0.02], confidence=0.9) == pytest.approx((0.01 - loud, 0.01 + loud))


def two_seeds(gains, spread=0.0):
    """Plain, and arms with gains of their two seeds, in thousandths."""
    plain = [0.770, 0.772]
    found = runs("plain", plain, spread=spread)
    for name, some in gains.items():
        found += runs(name, [base + gain / 1000 for base, gain in zip(plain, some, strict=True)], spread=spread)
    return found


GAINS = {"paper": (0.1, 0.3), "values": (6.0, 6.8), "values permuted": (0.4, 0.2), "values random": (0.2, 0.1)}


def test_two_seeds_of_several_arms_can_tell() -> None:
    found = compare("FM", two_seeds(GAINS))
    gap = found.difference("values")
    assert gap is not None
    assert gap.seed_noise is not None
    assert gap.seed_noise.freedom == 4
    alone = t_interval(gap.by_seed)
    assert alone is not None
    assert alone[0] < gap.over_seeds[0] < 0.0064 < gap.over_seeds[1] < alone[1]
    verdicts = {str(one.arm): one.verdict for one in found.judgements}
    assert verdicts["values"] is Verdict.MEANING
    assert Comparison.model_validate_json(found.model_dump_json()) == found
    two = compare("FM", two_seeds({"values": GAINS["values"]})).difference("values")
    assert two is not None
    assert two.over_seeds == pytest.approx(t_interval(two.by_seed)), "two arms have nothing to pool"


def test_equivalence_is_by_the_same_noise() -> None:
    """Of 10 degrees of freedom, s about .0001: 90 % of a difference of .0002 lie within .001."""
    same = dict.fromkeys(("paper", "fre", "fie", "values", "values permuted", "values random"), (0.2, 0.1))
    (said, *_) = compare("FM", two_seeds(same)).judgements
    assert said.verdict is Verdict.NO_DIFFERENCE


def test_what_more_runs_would_show_is_said_where_seeds_leave_most_open() -> None:
    """95 % of .002 are .0019 on each side; whatever the seeds do, 1.43 times that is what these rows can show."""
    loud = {"paper": (-9.0, 7.0), "values": (0.1, 0.2), "values permuted": (0.4, 0.2)}
    given = [*runs("plain", [0.770, 0.772], spread=0.0)]
    for name, some in loud.items():
        given += runs(name, [0.770 + some[0] / 1000, 0.772 + some[1] / 1000], spread=0.002)
    said = {str(one.arm): one for one in compare("FM", given).judgements}
    assert said["paper"].verdict is Verdict.TOO_FEW_CLICKS
    assert ", with many more runs 0.0027, 0.001 matters." in said["paper"].sentence
    rows_alone = [*runs("plain", [0.77] * 3, spread=0.0), *runs("paper", [0.77] * 3, spread=0.004)]
    assert "many more runs" not in compare("FM", rows_alone).judgements[0].sentence


def tie(ours, spread, placebo):
    """The sentence about values, over plain by .02, and over their permuted vectors by less."""
    given = [*runs("plain", [0.77] * 3, spread=0.0), *runs("values", ours, spread=spread)]
    (said,) = compare("FM", [*given, *runs("values permuted", placebo, spread=0.0)]).judgements
    assert said.verdict is Verdict.PLACEBO
    return said.sentence


def test_a_difference_is_told_with_its_widest_interval() -> None:
    """The interval over seeds lies above zero, that over users does not: the sentence named the first alone."""
    said = tie([0.79] * 3, 0.004, [0.788] * 3)
    assert (
        "changes by +0.0200 [+0.0200,\u00a0+0.0200] over 3 seeds, [+0.0162,\u00a0+0.0238] over rows; it is not" in said
    )
    assert "permuted vectors (+0.0020 [−0.0018,\u00a0+0.0058])." in said
    assert "(+0.0004 [+0.0002,\u00a0+0.0006], less than 0.001)." in tie([0.79] * 3, 0.0002, [0.7896] * 3)
    loud = tie([0.788, 0.790, 0.792], 0.001, [0.786, 0.7895, 0.7885])
    assert "[−0.0017,\u00a0+0.0057])." in loud, (
        "t of 4.303 times the deviation .0015 of .002, .0005 and .0035, by root 3"
    )


def test_what_is_shown_is_over_seeds_where_these_are_wider() -> None:
    given = [*runs("plain", PLAIN, spread=0.0), *runs("values", [0.79, 0.80, 0.81], spread=0.002)]
    gap = compare("FM", given).difference("values")
    assert gap is not None
    assert (gap.widest, gap.widest_over) == (gap.over_seeds, "seeds")
    given = [*runs("plain", PLAIN, spread=0.0), *runs("values", [0.79, 0.792, 0.794], spread=0.002)]
    gap = compare("FM", given).difference("values")
    assert gap is not None
    assert (gap.widest, gap.widest_over) == (gap.over_rows, "rows")
    one = compare("FM", [*runs("plain", [0.77], spread=0.0), *runs("values", [0.79], spread=0.002)]).difference(
        "values"
    )
    assert one is not None
    assert (one.widest, one.widest_over) == (None, "")
