from __future__ import annotations

import numpy as np
import pytest

from llactr.evaluation.resampling import FEWEST_USERS, Resamples

EVERY = np.ones(50, np.bool_)


def test_every_resample_has_as_many_rows_as_there_are() -> None:
    drawn = Resamples.of(50, 30)
    found = np.stack(list(drawn.weights(EVERY)))
    assert drawn.drawn == "rows"
    assert found.shape == (30, 50)
    assert (found.sum(axis=1) == 50).all()
    assert len(np.unique(found, axis=0)) == 30
    assert np.array_equal(found, np.stack(list(Resamples.of(50, 30).weights(EVERY))))
    # A row is left out of a resample with probability (1 - 1/50)^50 = .364.
    assert (found == 0).mean() == pytest.approx(0.364, abs=0.05)


def test_users_come_and_go_as_a_whole() -> None:
    users = np.array([7, 3, 7, 9, 3] * 10) + np.repeat(np.arange(10) * 100, 5)  # 30 users
    drawn = Resamples.of(50, 40, users=users)
    assert drawn.drawn == "users"
    for weight in drawn.weights(EVERY):
        for user in np.unique(users):
            assert len(set(weight[users == user])) == 1
    assert (drawn.counts.sum(axis=1) == 30).all(), "as many users as there are"


def test_too_few_users_leave_single_rows() -> None:
    few = np.arange(50) % (FEWEST_USERS - 1)
    assert Resamples.of(50, 3, users=few).drawn == "rows"
    assert Resamples.of(50, 3, users=np.arange(50) % FEWEST_USERS).drawn == "users"


def test_sums_are_those_of_the_rows_that_a_resample_holds() -> None:
    users = np.arange(50) // 4
    drawn = Resamples.of(50, 6, users=users)
    chosen = np.arange(50) % 3 == 0
    values = np.random.default_rng(1).random(int(chosen.sum()))
    for weight, total in zip(drawn.weights(chosen), drawn.sums(values, chosen), strict=True):
        assert total == pytest.approx(float((weight * values).sum()))


def test_no_rows_can_be_resampled_too() -> None:
    drawn = Resamples.of(0, 3)
    assert drawn.sums(np.zeros(0), np.zeros(0, np.bool_)).tolist() == [0, 0, 0]
