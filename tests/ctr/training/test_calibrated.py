"""Which calibration is chosen on validation, and that a training gives it to its model."""

from __future__ import annotations

import numpy as np
import pytest

from llactr.ctr import predict, train
from llactr.ctr.metrics import auc, logloss
from llactr.ctr.training.calibrated import chosen_kind
from llactr.errors import DataError
from llactr.evaluation.trained import TrainedRun, load_weights, save_run
from tests.ctr.test_calibration import drawn, sigmoid
from tests.ctr.test_isotonic import bent
from tests.ctr.training.test_trainer import QUICK, clicks, model


def test_the_simplest_that_does_as_well_is_chosen() -> None:
    label, logits = drawn(8000, slope=1, level=0)
    assert chosen_kind(label, logits, before=None) == "off", "the logits are right as they are"
    label, logits = drawn(8000, slope=0.4, level=-1)
    assert chosen_kind(label, logits, before=None) == "platt", "a line puts them right"
    label, logits = bent(20_000)
    assert chosen_kind(label, logits, before=None) == "isotonic"
    assert chosen_kind(label, logits, before=None, among=("off", "platt")) == "platt", "the best of those asked for"


def test_few_clicks_choose_what_chance_leaves() -> None:
    label = np.zeros(400, np.float32)
    label[7] = 1  # a fold without any click
    logits = np.random.default_rng(0).normal(size=400).astype(np.float32)
    assert chosen_kind(label, logits, before=None) == "platt"
    with pytest.raises(DataError, match="found 0 clicks"):
        chosen_kind(np.zeros(400, np.float32), logits, before=None)


@pytest.mark.parametrize("asked", ["auto", "isotonic", "chosen"])
def test_a_training_gives_its_model_a_calibration_that_keeps_the_order(asked: str, tmp_path) -> None:
    data = clicks()
    made, plain = model("fm"), model("fm")
    result = train(made, data, QUICK.model_copy(update={"calibration": asked}))
    train(plain, data, QUICK.model_copy(update={"calibration": "off"}))
    held = data.split.validation
    label, scores, before = data.label[held], predict(made, data.ids[held]), predict(plain, data.ids[held])
    assert auc(label, scores) == pytest.approx(auc(label, before), abs=1e-4)
    assert (made.curve is not None) or asked != "isotonic", "329 clicks of 600 rows are enough to bend"
    assert result.validation.logloss == pytest.approx(logloss(label, scores))
    assert logloss(label, scores) <= logloss(label, before) + 1e-6
    kept = TrainedRun.of(result, backbone="fm", arm="plain", draw=0, seed=0)
    save_run(tmp_path / "run.safetensors", made, kept)
    again = model("fm")
    load_weights(tmp_path / "run.safetensors", again)
    np.testing.assert_array_equal(predict(again, data.ids), predict(made, data.ids))


def test_drawn_logits_are_what_they_say() -> None:
    """The first case above is one of no calibration: the mean score is the click rate without any."""
    label, logits = drawn(8000, slope=1, level=0)
    assert sigmoid(logits).mean() == pytest.approx(label.mean(), abs=0.01)
