"""Which arm is served: by scores worked out so that the best arm, and how surely it is the best, is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from llactr.ctr.metrics import auc
from llactr.errors import DataError
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.choice import Choice, Offer, choose, offered
from llactr.evaluation.rows import median_past
from llactr.workspace import Workspace
from tests.specs import field, spec_of

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


def test_where_none_is_the_best_in_both_ranking_for_users_comes_first() -> None:
    rng = np.random.default_rng(4)
    users, known, level = np.arange(ROWS) % USERS, rng.normal(size=ROWS), rng.normal(scale=2, size=USERS)
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-known - level[users]))).astype(np.float32)
    given = {PLAIN: scores(level[users], noise=0.1), VALUES: scores(known, noise=0.1)}
    found = choose("fm", label, users, given, margin=0.001)
    assert [one.within for one in found.candidates] == [("auc",), ("user_auc",)]
    assert found.served == VALUES
    assert "no arm is within it in both" in found.reason


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


def test_what_is_offered_follows_from_what_there_is() -> None:
    spec = spec_of(field("person", "user"), field("film", "item"))
    assert offered(Offer(spec, values_encoded=False)) == (PLAIN, PAPER)
    assert offered(Offer(spec, values_encoded=True)) == (PLAIN, PAPER, VALUES)


def test_the_past_is_offered_where_there_is_enough_of_it() -> None:
    spec = spec_of(field("person", "user"), field("film", "item"))

    def arms(**past: float) -> list[str]:
        return [str(arm) for arm in offered(Offer(spec, False, past))]

    assert arms(user=20, item=20) == ["plain", "paper", "items", "history", "history taste"]
    assert arms(user=19.5, item=300) == ["plain", "paper", "items"], "what became of items needs no person's past"
    assert arms(user=50, item=3) == ["plain", "paper"]
    assert Offer(spec, False, {"user": 20, "item": 20}).left_out == ""
    assert Offer(spec, False).left_out == "", "without users or items there is nothing to leave out"
    assert Offer(spec, False, {"user": 4, "item": 30}).left_out == (
        "a person's past is not offered, as half of the validation rows have fewer than 20 earlier events of their "
        "user (median 4)"
    )
    assert Offer(spec, False, {"user": 0, "item": 2.5}).left_out.startswith("the past is not offered, as half of")


def test_why_the_past_was_left_out_is_told_with_the_reason() -> None:
    label, users, known = rows()
    found = choose(
        "fm", label, users, {PLAIN: scores(known, noise=1, seeds=1)}, margin=0.001, left_out="no past, as so"
    )
    assert found.reason.endswith("; no past, as so")


def test_past_events_are_counted_as_they_were_known(tmp_path: Path) -> None:
    """Of 20 rows at 20 moments the validation rows are numbers 16 and 17."""
    spec = spec_of(field("person", "user"), field("film", "item"), history={"outcome_delay": "90s"})
    minutes = [60_000_000 * minute for minute in range(20)]
    table = pa.table(
        {
            "person": ["a"] * 16 + ["a", "b", "a", "a"],
            "film": ["x", "y"] * 10,
            "event_timestamp": pa.array(minutes, pa.timestamp("us", "UTC")),
            "label": pa.array([0, 1] * 10, pa.float32()),
        }
    )
    folder = Workspace.at(tmp_path).offline_table("tiny", "events")
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-00000.parquet")
    # Row 16: a's events 0 to 14 are known 90 s before, and 8 of x's; row 17: none of b, and those of y at 1, 3, .., 15.
    assert median_past(Workspace.at(tmp_path), spec) == {"user": 7.5, "item": 8.0}
    alone = spec_of(field("person", "user"), field("device"), keys={"user": "person"})
    assert median_past(Workspace.at(tmp_path), alone) == {}
