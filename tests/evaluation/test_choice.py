"""Which arm is served: by scores worked out so that the best arm, and how surely it is the best, is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from llactr.ctr.metrics import auc
from llactr.errors import DataError
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.choice import Choice, choose

PAPER, VALUES = Arm.parse("paper"), Arm.parse("values")
ROWS, USERS = 2000, 100


def rows(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """Labels, users, and what a perfect model knows."""
    rng = np.random.default_rng(seed)
    known = rng.normal(size=ROWS)
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-known))).astype(np.float32)
    return label, np.arange(ROWS) % USERS, known


def scores(known: NDArray[np.float64], *, noise: float, seeds: int = 3) -> list[NDArray[np.float32]]:
    """One array a seed: the worse, the more noise; 0.02 of it differs by seed."""
    found = []
    for seed in range(seeds):
        shared, own = np.random.default_rng(99), np.random.default_rng(seed)
        logits = known + noise * shared.normal(size=ROWS) + 0.02 * own.normal(size=ROWS)
        found.append((1 / (1 + np.exp(-logits))).astype(np.float32))
    return found


def test_a_sure_gain_is_chosen() -> None:
    label, users, known = rows()
    given = {PLAIN: scores(known, noise=3), PAPER: scores(known, noise=2.8), VALUES: scores(known, noise=0.1)}
    found = choose("fm", label, users, given, margin=0.001)
    assert found.served == VALUES
    assert found.reason == "values is within it, the simpler plain and paper are not"
    assert [one.arm for one in found.candidates] == [PLAIN, PAPER, VALUES]
    plain, _, values = found.candidates
    assert plain.auc == pytest.approx(np.mean([auc(label, one) for one in given[PLAIN]]))
    assert plain.behind["auc"] == pytest.approx(values.auc - plain.auc)
    assert (values.behind["auc"], values.error["auc"]) == (0, 0)
    assert plain.error["auc"] < plain.behind["auc"] / 3
    assert (found.rows, found.clicks, found.users, found.seeds) == (ROWS, int(label.sum()), USERS, 3)


def test_arms_that_are_as_good_as_each_other_leave_the_simplest() -> None:
    label, users, known = rows()
    given = {PLAIN: scores(known, noise=0.5), VALUES: scores(known + 1e-4, noise=0.5)}
    assert choose("fm", label, users, given, margin=0.001).served == PLAIN


def test_a_gain_within_the_margin_counts_as_none() -> None:
    label, users, known = rows()
    given = {PLAIN: scores(known, noise=0.3), VALUES: scores(known, noise=0)}
    sure = choose("fm", label, users, given, margin=1e-6)
    gap = sure.candidates[0].behind
    assert sure.served == VALUES
    assert choose("fm", label, users, given, margin=max(gap.values()) + 1e-6).served == PLAIN


def test_a_level_of_users_alone_is_not_what_ranks_for_them() -> None:
    """Knowing who clicks more lifts AUC over all rows, and here spoils the order within users."""
    label, users, known = rows()
    rates = np.bincount(users, label) / np.bincount(users)
    level = 3 * (rates - rates.mean())[users]
    given = {PLAIN: scores(known, noise=0.1), PAPER: scores(known + level, noise=1.0)}
    assert auc(label, scores(0 * known + level, noise=0)[0]) > 0.55
    found = choose("fm", label, users, given, margin=0.001)
    assert found.served == PLAIN
    assert "in AUC and in AUC within users" in found.rule
    assert "of those not behind the simplest within users" in found.rule
    assert found.reason.endswith("; paper is not taken, being behind plain within users")


def levels_and_ranks(
    level: float,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Labels, users, the users' levels of this deviation as one number a row, and what ranks within them."""
    rng = np.random.default_rng(4)
    users, known = np.arange(ROWS) % USERS, rng.normal(size=ROWS)
    levels = rng.normal(scale=level, size=USERS)[users]
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-known - levels))).astype(np.float32)
    return label, users, levels, known


def test_where_none_is_the_best_in_both_their_mean_decides() -> None:
    """What ranks within users loses less AUC than it gains there, and is served."""
    label, users, levels, known = levels_and_ranks(1.4)
    given = {PLAIN: scores(levels, noise=0.1), VALUES: scores(known, noise=0.1)}
    found = choose("fm", label, users, given, margin=0.001)
    plain, values = found.candidates
    assert plain.user_auc == pytest.approx(0.5, abs=0.02)
    assert (values.auc + values.user_auc - plain.auc - plain.user_auc) / 2 > 0.05
    assert plain.behind["simplest"] == 0
    assert values.behind["simplest"] == pytest.approx(plain.user_auc - values.user_auc)
    assert [one.within for one in found.candidates] == [("simplest", "auc"), ("simplest", "user_auc")]
    assert found.served == VALUES
    mean = (values.auc + values.user_auc) / 2
    assert found.reason == f"no arm is within it in both, and the mean of both is the best with values ({mean:.4f})"


def test_an_arm_far_behind_in_auc_is_not_served_for_what_it_gains_within_users() -> None:
    label, users, levels, known = levels_and_ranks(3.0)
    given = {PLAIN: scores(levels, noise=0.1), VALUES: scores(known, noise=3)}
    found = choose("fm", label, users, given, margin=0.001)
    plain, values = found.candidates
    assert plain.auc - values.auc > 0.2
    assert values.user_auc - plain.user_auc > 0.05
    assert "user_auc" not in plain.within, "plain is not the best within users"
    assert found.served == PLAIN


def test_what_ranks_worse_within_users_than_the_simplest_is_not_served_though_its_mean_is_the_best() -> None:
    label, users, levels, known = levels_and_ranks(2.0)
    given = {
        PLAIN: scores(known, noise=0.1),
        PAPER: scores(known, noise=0.05),
        VALUES: scores(known + levels, noise=1.0),
    }
    found = choose("fm", label, users, given, margin=0.001)
    plain, paper, values = found.candidates
    assert values.auc > plain.auc + 0.15
    assert values.user_auc < plain.user_auc - 0.02
    assert values.behind["auc"] < 0, "it is ahead of the best that may be served"
    assert max(plain.behind["auc"], paper.behind["auc"]) == max(plain.auc, paper.auc) - min(plain.auc, paper.auc)
    assert found.served == PLAIN
    assert found.reason.endswith("; values is not taken, being behind plain within users")


def test_the_best_is_found_among_those_that_may_be_served() -> None:
    """The arm that is barred does not set the mark that others have to reach."""
    label, users, levels, known = levels_and_ranks(2.0)
    given = {
        PLAIN: scores(known, noise=0.5),
        PAPER: scores(known + 0.1 * levels, noise=0.4),
        VALUES: scores(known + levels, noise=1.0),
    }
    found = choose("fm", label, users, given, margin=0.001)
    plain, paper, values = found.candidates
    assert "simplest" not in values.within
    assert values.auc > paper.auc + 0.05
    assert paper.behind["auc"] == 0
    assert plain.behind["auc"] > plain.error["auc"]
    assert found.served == PAPER
    assert found.reason == (
        "paper is within it, the simpler plain is not; values is not taken, being behind plain within users"
    )


def test_that_no_arm_is_above_chance_is_said() -> None:
    label, _, known = rows()
    found = choose("fm", label, None, {PLAIN: scores(-known, noise=3), PAPER: scores(-known, noise=2)}, margin=0.001)
    assert found.served == PLAIN
    assert found.reason.endswith("; none is above chance there")


def test_without_users_auc_decides_alone() -> None:
    label, _, known = rows()
    given = {PLAIN: scores(known, noise=3), VALUES: scores(known, noise=0.1)}
    found = choose("fm", label, None, given, margin=0.001)
    assert (found.served, found.users) == (VALUES, 0)
    assert set(found.candidates[0].behind) == {"auc"}
    assert found.candidates[0].user_auc is None
    assert "within users" not in found.rule


def test_one_arm_is_served_and_one_seed_is_enough_for_it() -> None:
    label, users, known = rows()
    found = choose("fm", label, users, {PLAIN: scores(known, noise=1, seeds=1)}, margin=0.001)
    assert (found.served, found.seeds) == (PLAIN, 1)
    assert Choice.model_validate(found.as_json()) == found


def test_arms_with_other_seeds_are_refused() -> None:
    label, users, known = rows()
    given = {PLAIN: scores(known, noise=1), PAPER: scores(known, noise=1, seeds=2)}
    with pytest.raises(DataError, match="give every arm the same seeds"):
        choose("fm", label, users, given, margin=0.001)


def test_why_the_past_was_left_out_is_told_with_the_reason() -> None:
    label, users, known = rows()
    found = choose(
        "fm", label, users, {PLAIN: scores(known, noise=1, seeds=1)}, margin=0.001, left_out="no past, as so"
    )
    assert found.reason.endswith("; no past, as so")


def test_nothing_is_chosen_by_a_handful_of_clicks() -> None:
    """With one click in validation an arm was taken for being .37 of AUC ahead."""
    users = rows()[1]
    label = np.zeros(ROWS, np.float32)
    label[np.unique(users, return_index=True)[1][:9]] = 1  # of nine users
    better = {PLAIN: scores(-label, noise=1), PAPER: scores(5 * label, noise=0.1)}
    found = choose("fm", label, users, better, margin=0.001)
    assert (found.served, found.clicks) == (PLAIN, 9)
    assert found.reason.startswith("too few clicks to choose by: fewer than 10 users have one, or a row without")
    label[np.unique(users, return_index=True)[1][9]] = 1  # a tenth
    assert choose("fm", label, users, better, margin=0.001).served == PAPER


def test_within_users_an_arm_that_reads_a_persons_past_is_judged_as_of_one_moment() -> None:
    """On noise one was served for an AUC within users of .71: its level moved with the outcomes that were ranked."""
    label, users, known = rows()
    history = Arm.parse("history")
    leaking = 1.2 * (label - 0.5)  # what a level that moves with the outcomes looks like between two moments
    within = leaking - (np.bincount(users, leaking) / np.bincount(users))[users]
    given = {PLAIN: scores(known, noise=0.5), history: scores(known + within, noise=0.5)}
    assert choose("fm", label, users, given, margin=0.001).served == history
    still = {history: scores(known, noise=0.6)}
    level = {PLAIN: given[PLAIN], history: [one.copy() for one in given[PLAIN]]}  # no better over all rows
    found = choose("fm", label, users, level, margin=0.001, still=still)
    assert found.served == PLAIN
    assert found.candidates[1].user_auc is not None
    assert found.candidates[1].user_auc < found.candidates[0].user_auc
    assert "in AUC and in AUC within users as of one moment; else" in found.rule
    better = {history: scores(known, noise=0.1)}
    assert choose("fm", label, users, level, margin=0.001, still=better).served == history
