"""The figures by which a column is told to know the label."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from llactr.profile.spoilers import SplitCounts, roc_auc, split_counts, unseen_later


def test_auc_counts_pairs_and_ties_half() -> None:
    # Pairs of (click, none): (3, 1) right, (3, 2) right, (2, 1) right, (2, 2) a tie: 3.5 of 4.
    assert roc_auc(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])) == pytest.approx(3.5 / 4)
    assert roc_auc(np.array([1.0, 2.0]), np.array([True, True])) == 0.5


def test_splits_are_counted_in_the_order_of_time() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE r AS SELECT i AS t, i AS row_of_sample, CAST(i >= 85 AS INT) AS y FROM range(100) x(i)"
        )
        found = split_counts(connection, "r", label="y", time="t", train=0.8, validation=0.1, total=1000)
        assert found == SplitCounts((800, 100, 100), (0, 50, 100))
        assert found.troubles() == [
            "all 800 rows of the train split are no clicks: a model needs both",
            "all 100 rows of the test split are clicks: a model needs both",
        ]
        assert unseen_later(connection, "r", "t", "t") == 1.0
        assert unseen_later(connection, "(SELECT t, t % 7 AS w FROM r)", "w", "t") == 0.0
