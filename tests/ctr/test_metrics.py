"""AUC and logloss against their definitions and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from llactr.ctr import auc, logloss, measure
from llactr.ctr.metrics import calibration_error
from llactr.errors import DataError


def test_auc_by_hand() -> None:
    label = np.array([0, 1, 0, 1], np.float32)
    # Pairs (click, other): .8 > .1, .8 > .4, .4 > .1 and a tie of .4 with .4.
    assert auc(label, np.array([0.1, 0.4, 0.4, 0.8], np.float32)) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("distinct", [2, 10, 100_000])
def test_auc_is_exact_with_and_without_ties(distinct: int) -> None:
    random = np.random.default_rng(distinct)
    label = (random.random(3000) < 0.2).astype(np.float32)
    score = (random.integers(0, distinct, 3000) / distinct).astype(np.float32)
    assert auc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-12)


def test_logloss_is_that_of_scikit_learn_and_bounded() -> None:
    random = np.random.default_rng(0)
    label = (random.random(500) < 0.4).astype(np.float32)
    score = random.random(500).astype(np.float32)
    assert logloss(label, score) == pytest.approx(log_loss(label, score.astype(np.float64)), rel=1e-9)
    sure_and_wrong = logloss(np.array([1], np.float32), np.array([0], np.float32))
    assert sure_and_wrong == pytest.approx(-np.log(1e-7))


def test_a_slice_of_one_class_has_no_auc_but_a_logloss() -> None:
    found = measure(np.ones(3, np.float32), np.full(3, 0.5, np.float32))
    assert (found.rows, found.clicks, found.auc) == (3, 3, None)
    assert found.logloss == pytest.approx(np.log(2))


def test_an_empty_slice_has_no_metrics() -> None:
    found = measure(np.empty(0, np.float32), np.empty(0, np.float32))
    assert (found.rows, found.auc, found.logloss) == (0, None, None)


@pytest.mark.parametrize("label", [np.zeros(4, np.float32), np.ones(4, np.float32)])
def test_auc_of_one_class_is_refused(label: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"AUC needs clicks and non-clicks, found [04] and [04]: take more rows"):
        auc(label, np.linspace(0, 1, 4, dtype=np.float32))


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="1 scores are not finite: the model has diverged"):
        logloss(np.zeros(2, np.float32), np.array([0.5, np.nan], np.float32))


def test_scores_of_other_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"labels have the shape \(2,\) and scores \(3,\)"):
        measure(np.array([0, 1], np.float32), np.zeros(3, np.float32))


def test_calibration_error_by_hand() -> None:
    label = np.array([0, 0, 1, 1], np.float32)
    assert calibration_error(label, np.array([0.1, 0.2, 0.7, 0.8], np.float32), bins=2) == pytest.approx(0.2)
    assert calibration_error(label, np.full(4, 0.5, np.float32), bins=1) == pytest.approx(0)
