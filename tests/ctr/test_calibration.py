from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from llactr.ctr import CTRModel, ModelConfig, predict
from llactr.ctr.calibration import OutputScale, log_odds, platt
from llactr.ctr.metrics import logloss
from llactr.ctr.model import predict_logits
from llactr.errors import DataError
from llactr.transforms import Transform
from tests.evaluation.test_designs import ROWS, spec


def drawn(count: int, *, slope: float, level: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    logits = (3 * rng.normal(size=count) + 1).astype(np.float32)
    p = 1 / (1 + np.exp(-(slope * logits + level)))
    return (rng.random(count) < p).astype(np.float32), logits


def sigmoid(logits):
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def test_many_clicks_give_what_logistic_regression_gives() -> None:
    label, logits = drawn(20_000, slope=0.4, level=-1)
    scale, shift = platt(label, logits)
    known = LogisticRegression(C=1e9, tol=1e-8).fit(logits[:, None], label)
    assert scale == pytest.approx(known.coef_[0, 0], rel=2e-3)
    assert shift == pytest.approx(known.intercept_[0], abs=5e-3)
    assert sigmoid(scale * logits + shift).mean() == pytest.approx(label.mean(), abs=1e-5)


def test_few_clicks_that_prove_nothing_leave_the_click_rate_and_the_order() -> None:
    rng = np.random.default_rng(1)
    logits = (3 * rng.normal(size=1000)).astype(np.float32)
    label = np.zeros(1000, np.float32)
    label[:8] = 1  # in no relation to the logits
    scale, shift = platt(label, logits)
    scores = sigmoid(scale * logits + shift)
    assert 0 < scale < 0.05
    assert scores.mean() == pytest.approx(0.008, abs=1e-5)
    assert logloss(label, scores) < logloss(label, sigmoid(logits)) / 10
    assert logloss(label, scores) == pytest.approx(logloss(label, np.full(1000, 0.008, np.float32)), abs=3e-3)
    assert (np.argsort(scores, kind="stable") == np.argsort(logits, kind="stable")).mean() > 0.95


def test_a_click_rate_that_changed_by_chance_alone_is_not_followed() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=500).astype(np.float32)
    label = np.zeros(500, np.float32)
    label[:3] = 1  # .006 where .01 was known: one standard error is .58 in log-odds, the difference .45
    before = np.zeros(5000, np.float32)
    before[:50] = 1
    scale, shift = platt(label, logits, before=before)
    assert sigmoid(scale * logits + shift).mean() == pytest.approx(50.5 / 5001, rel=1e-3)


def test_a_click_rate_that_surely_changed_is_followed() -> None:
    logits = np.random.default_rng(3).normal(size=5000).astype(np.float32)
    label = np.zeros(5000, np.float32)
    label[:500] = 1
    before = np.zeros(50_000, np.float32)
    before[:500] = 1
    scale, shift = platt(label, logits, before=before)
    assert sigmoid(scale * logits + shift).mean() == pytest.approx(0.1, abs=0.001)


def test_logits_that_rank_the_wrong_way_are_not_turned_around() -> None:
    label, logits = drawn(2000, slope=-1, level=0)
    scale, shift = platt(label, logits)
    assert 0 < scale < 0.02
    assert sigmoid(scale * logits + shift).mean() == pytest.approx(label.mean(), abs=1e-5)


def test_logits_that_are_all_equal_become_the_click_rate() -> None:
    label = np.array([1, 0, 0, 0] * 5, np.float32)
    scale, shift = platt(label, np.full(20, 2.0, np.float32))
    assert scale * 2 + shift == pytest.approx(math.log(0.25 / 0.75), abs=1e-6)


def test_separable_labels_do_not_run_away() -> None:
    label = np.array([0] * 30 + [1] * 30, np.float32)
    scale, shift = platt(label, np.linspace(-1, 1, 60).astype(np.float32))
    assert math.isfinite(scale)
    assert math.isfinite(shift)


@pytest.mark.parametrize(
    ("label", "logits", "message"),
    [
        ([0, 0], [0.0, 1.0], "found 0 clicks in 2 rows"),
        ([1, 1], [0.0, 1.0], "found 2 clicks in 2 rows"),
        ([0, 1], [0.0, math.inf], "not finite"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(label, logits, message) -> None:
    with pytest.raises(DataError, match=message):
        platt(np.array(label, np.float32), np.array(logits, np.float32))


def test_log_odds_of_a_rate() -> None:
    assert log_odds(np.array([1, 0, 0, 0], np.float32)) == pytest.approx(math.log(1.5 / 3.5))
    assert math.isfinite(log_odds(np.zeros(10, np.float32)))


def test_two_steps_add_up() -> None:
    output = OutputScale(1.0, 0.5)
    output.then(2.0, -1.0)
    assert output(torch.tensor([1.0])).item() == pytest.approx(2 * (1 + 0.5) - 1)


@pytest.mark.parametrize("backbone", ["fm", "fwfm", "fmfm", "deepfm", "finalmlp", "wukong", "din"])
def test_a_calibrated_model_scores_so_and_is_written_so(backbone: str) -> None:
    transform = Transform.fit(spec(), ROWS)
    model = CTRModel(ModelConfig.model_validate({"backbone": backbone}), transform.layout, seed=1)
    ids = transform.ids(ROWS)
    assert "calibrated" not in model.config.model_dump(mode="json")
    before = predict_logits(model, ids)
    model.calibrate(0.5, -2.0)
    np.testing.assert_allclose(predict_logits(model, ids), 0.5 * before - 2, atol=1e-6)
    np.testing.assert_allclose(predict(model, ids), sigmoid(0.5 * before - 2), atol=1e-6)
    assert model.config.model_dump(mode="json")["calibrated"] is True
    again = CTRModel(ModelConfig.model_validate(model.config.model_dump(mode="json")), transform.layout, seed=2)
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(predict(again, ids), predict(model, ids))
