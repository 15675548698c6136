"""The isotonic curve against scikit-learn's, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from llactr.ctr import CTRModel, ModelConfig, predict
from llactr.ctr.calibration import platt
from llactr.ctr.isotonic import Curve, OutputCurve, isotonic
from llactr.ctr.metrics import auc, logloss
from llactr.ctr.model import predict_logits
from llactr.errors import DataError
from llactr.transforms import Transform
from tests.ctr.test_calibration import drawn, sigmoid
from tests.evaluation.test_designs import ROWS, spec


def bent(count: int, seed: int = 0):
    """Clicks whose log-odds are those of the logits below zero, and a tenth of them above."""
    rng = np.random.default_rng(seed)
    logits = (2 * rng.normal(size=count)).astype(np.float32)
    truth = np.where(logits < 0, logits, 0.1 * logits)
    return (rng.random(count) < sigmoid(truth)).astype(np.float32), logits


def test_a_bend_that_a_line_cannot_follow_is_followed() -> None:
    label, logits = bent(40_000)
    curve = isotonic(label, logits)
    assert curve is not None
    fresh_label, fresh = bent(40_000, seed=1)
    scale, shift = platt(label, logits)
    ours = sigmoid(curve(fresh.astype(np.float64)))
    truth = sigmoid(np.where(fresh < 0, fresh, 0.1 * fresh))
    assert np.abs(ours - truth).mean() < 0.012
    assert logloss(fresh_label, ours) < logloss(fresh_label, sigmoid(scale * fresh + shift)) - 0.01
    assert logloss(fresh_label, ours) == pytest.approx(logloss(fresh_label, truth), abs=1e-3)
    assert sigmoid(curve(logits.astype(np.float64))).mean() == pytest.approx(label.mean(), abs=1e-5)


def test_it_lies_where_isotonic_regression_lies() -> None:
    """Means over wide stretches are those of scikit-learn's regression on the single rows."""
    label, logits = bent(40_000)
    curve = isotonic(label, logits)
    assert curve is not None
    known = IsotonicRegression(out_of_bounds="clip").fit(logits, label).predict(logits)
    ours = sigmoid(curve(logits.astype(np.float64)))
    for part in np.array_split(np.argsort(logits), 8):
        assert ours[part].mean() == pytest.approx(known[part].mean(), abs=0.015)


def test_it_rises_everywhere_also_where_clicks_fall() -> None:
    rng = np.random.default_rng(2)
    logits = np.linspace(-3, 3, 6000).astype(np.float32)
    rate = np.select([logits < -1, logits < 1], [0.2, 0.1], 0.6)  # falls, then rises
    label = (rng.random(6000) < rate).astype(np.float32)
    curve = isotonic(label, logits)
    assert curve is not None
    wide = np.linspace(-9, 9, 10_001)
    assert (np.diff(curve(wide)) > 0).all()
    scores = sigmoid(curve(logits.astype(np.float64)))
    assert auc(label, scores) == pytest.approx(auc(label, logits), abs=1e-9), "no two rows become equal"


def test_bins_without_clicks_do_not_say_never() -> None:
    logits = np.linspace(-2, 2, 4000).astype(np.float32)
    label = (logits > 0.5).astype(np.float32)  # none at all below
    curve = isotonic(label, logits)
    assert curve is not None
    scores = sigmoid(curve(logits.astype(np.float64)))
    assert 0 < scores.min() < 0.01
    assert scores.mean() == pytest.approx(label.mean(), abs=1e-5)


@pytest.mark.parametrize("clicks", [3, 39])
def test_few_clicks_bend_nothing(clicks: int) -> None:
    label = np.zeros(1000, np.float32)
    label[:clicks] = 1
    assert isotonic(label, np.random.default_rng(0).normal(size=1000).astype(np.float32)) is None


def test_clicks_that_fall_with_the_logits_and_equal_logits_bend_nothing() -> None:
    label, logits = drawn(4000, slope=-1, level=0)
    assert isotonic(label, logits) is None
    assert isotonic(label, np.zeros(4000, np.float32)) is None


def test_one_kind_of_rows_is_refused() -> None:
    with pytest.raises(DataError, match="found 0 clicks in 50 rows"):
        isotonic(np.zeros(50, np.float32), np.arange(50, dtype=np.float32))


def test_a_curve_in_a_model_is_the_curve() -> None:
    """By hand: slope 2 and 1 at zero; from 1 on slope 3, from 2 on slope .5."""
    curve = Curve(2.0, 1.0, np.array([1.0, 2.0]), np.array([1.0, -2.5]))
    wanted = [-1.0, 1.0, 3.0, 6.0, 6.5]
    given = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(curve(given), wanted)
    np.testing.assert_allclose(OutputCurve.of(curve)(torch.from_numpy(given).float()).numpy(), wanted)


def test_a_bent_model_is_written_and_read_so() -> None:
    transform = Transform.fit(spec(), ROWS)
    model = CTRModel(ModelConfig.model_validate({"backbone": "fm"}), transform.layout, seed=1)
    ids = transform.ids(ROWS)
    assert "bends" not in model.config.model_dump(mode="json")
    model.calibrate(1.0, -1.0)
    before = predict_logits(model, ids)
    curve = Curve(0.5, 0.2, np.array([-1.01, -0.99]), np.array([3.0, -2.0]))
    model.bend(curve)
    np.testing.assert_allclose(predict_logits(model, ids), curve(before.astype(np.float64)), atol=1e-5)
    content = model.config.model_dump(mode="json")
    assert content["bends"] == 2
    again = CTRModel(ModelConfig.model_validate(content), transform.layout, seed=2)
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(predict(again, ids), predict(model, ids))
