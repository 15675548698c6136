"""The trainer's rules: when it stops, which weights it keeps, and that the same seed gives the same bits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from llactr.ctr import BACKBONES, CTRData, EpochRecord, Split, TrainConfig, auc, logloss, measure, predict, train
from llactr.ctr.calibration import platt
from llactr.ctr.model import predict_logits
from llactr.ctr.training.calibrated import chosen_kind
from llactr.errors import DataError, StepError
from tests.ctr.training_fakes import clicks, model

QUICK = TrainConfig(batch_size=256, learning_rate=0.02, max_epochs=6, min_steps=0, device="cpu")


@pytest.mark.parametrize("enhanced", [False, True], ids=["plain", "enhanced"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_same_seed_gives_the_same_bits(backbone: str, enhanced: bool) -> None:
    data = clicks(1500, multi_valued=True)
    found = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)  # the global generator must not matter
        made = model(backbone, enhanced=enhanced, multi_valued=True)
        result = train(made, data, QUICK)
        found.append((predict(made, data.ids), [r.train_loss for r in result.history]))
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_another_seed_gives_other_bits() -> None:
    data = clicks(1500)
    scores = []
    for seed in (0, 1):
        made = model("deepfm")
        train(made, data, QUICK.model_copy(update={"seed": seed}))
        scores.append(predict(made, data.ids))
    assert not np.array_equal(*scores)


def test_it_learns_and_ends_with_the_weights_of_the_best_epoch() -> None:
    data = clicks()
    made = model("fm")
    seen: list[EpochRecord] = []
    config = QUICK.model_copy(update={"learning_rate": 0.05, "max_epochs": 40, "patience": 3})
    result = train(made, data, config, progress=seen.append)
    held = data.split.validation
    best = max(result.history, key=lambda record: record.validation_auc)
    now = measure(data.label[held], predict(made, data.ids[held]))
    assert now.auc is not None
    assert now.auc > 0.7
    assert now.auc == pytest.approx(best.validation_auc, abs=1e-9)
    assert (result.best_epoch, result.best_step) == (best.epoch, best.step)
    assert result.validation == now
    assert tuple(seen) == result.history
    assert len(result.history) == best.epoch + 3 < 40, "it overfitted, and stopped three epochs after the best"
    assert result.history[-1].validation_auc < best.validation_auc


def test_it_does_not_stop_before_the_minimum_number_of_steps() -> None:
    data = clicks(1500)
    config = QUICK.model_copy(update={"learning_rate": 1e-12, "max_epochs": 50, "patience": 1})
    steps_an_epoch = -(-len(data.split.train) // 256)
    assert train(model("fm"), data, config).steps == 2 * steps_an_epoch, "nothing rises, so two epochs are enough"
    patient = config.model_copy(update={"min_steps": 7 * steps_an_epoch - 1})
    assert train(model("fm"), data, patient).steps == 7 * steps_an_epoch


def test_a_loss_that_is_not_finite_ends_training() -> None:
    made = model("fm")
    with torch.no_grad():
        made.embedding.weight[5] = float("inf")
    with pytest.raises(StepError, match=r"the loss is nan in epoch 1, after \d+ steps: lower the learning rate"):
        train(made, clicks(600), QUICK)


def test_weight_decay_is_coupled() -> None:
    """A row that no batch reads still decays, by Adam's step for a gradient of weight_decay * w."""
    data = clicks(600)
    unused = sum((40, 9)) + 0  # id 0 of the third field
    ids = data.ids.copy()
    ids[ids[:, 2] == 0, 2] = 1
    made = model("fm")
    before = made.embedding.weight[unused].clone()
    config = TrainConfig(batch_size=1024, learning_rate=0.01, weight_decay=0.1, max_epochs=1, min_steps=0, device="cpu")
    train(made, dataclasses.replace(data, ids=ids), config)
    # The first step of Adam moves by the learning rate against the gradient's sign.
    torch.testing.assert_close(made.embedding.weight[unused], before - 0.01 * before.sign(), rtol=0, atol=1e-5)


def test_the_test_split_is_not_read() -> None:
    data = clicks(1500)
    spoilt = data.label.copy()
    spoilt[data.split.test] = 1 - spoilt[data.split.test]
    models = [model("fm"), model("fm")]
    train(models[0], data, QUICK)
    train(models[1], dataclasses.replace(data, label=spoilt), QUICK)
    assert np.array_equal(predict(models[0], data.ids), predict(models[1], data.ids))


def test_scores_do_not_depend_on_how_many_are_asked_for() -> None:
    data = clicks(9000)
    made = model("deepfm", enhanced=True)
    whole = predict(made, data.ids)
    few = np.concatenate([predict(made, data.ids[start : start + 200]) for start in range(0, 9000, 200)])
    np.testing.assert_allclose(few, whole, atol=1e-6)
    assert whole.dtype == np.float32
    assert 0 < auc(data.label, whole) < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.full(8, 2, np.float32)}, "a label is 2, expected 0 or 1: give the spec a label rule"),
        ({"label": np.ones(8, np.float32)}, "the train split has 4 clicks in 4 rows, it needs both"),
        ({"version": np.zeros(3, np.int32)}, r"ids \(8, 2\), labels \(8,\) and versions \(3,\) do not agree"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    content = {
        "ids": np.zeros((8, 2), np.int32),
        "label": np.tile(np.array([0, 1], np.float32), 4),
        "version": np.zeros(8, np.int32),
    } | change
    with pytest.raises(DataError, match=message):
        CTRData(**content, split=Split(np.arange(4), np.arange(4, 6), np.arange(6, 8)))


def rare(rows: int = 3000) -> CTRData:
    """A click in fifty, that nothing explains: some 12 of them in validation."""
    data = clicks(rows)
    label = (np.random.default_rng(6).random(rows) < 0.02).astype(np.float32)
    return dataclasses.replace(data, label=label)


def constant_logloss(data: CTRData, part: np.ndarray) -> float:
    return float(logloss(data.label[part], np.full(len(part), data.label[data.split.train].mean(), np.float32)))


@pytest.mark.parametrize("backbone", ["fm", "fmfm", "deepfm", "finalmlp"])
def test_few_clicks_that_nothing_explains_end_at_the_click_rate(backbone: str) -> None:
    """Models that stopped by an AUC of some ten clicks, and were surer than a constant, went into service."""
    data = rare()
    made = model(backbone)
    result = train(made, data, QUICK)
    test = data.split.test
    scores = predict(made, data.ids[test])
    assert made.config.calibrated
    assert logloss(data.label[test], scores) <= constant_logloss(data, test) + 0.002
    assert scores.mean() == pytest.approx(data.label.mean(), abs=0.006)
    best = min(result.history, key=lambda record: record.validation_logloss)
    assert result.best_epoch == best.epoch, "it stops by logloss"
    # What is said of validation is said of the calibrated model.
    held = data.split.validation
    assert result.validation == measure(data.label[held], predict(made, data.ids[held]))


def test_a_model_of_rare_clicks_starts_at_their_rate() -> None:
    data = rare()
    seen: list[EpochRecord] = []
    quiet = QUICK.model_copy(update={"learning_rate": 1e-9, "max_epochs": 1})
    for prior in ("on", "off"):
        train(model("fm"), data, quiet.model_copy(update={"prior": prior}), progress=seen.append)
    with_prior, without = (record.validation_logloss for record in seen)
    held = data.split.validation
    assert with_prior == pytest.approx(constant_logloss(data, held), abs=0.005)
    assert without > 0.5, "a logit of zero is a click rate of one half"


def test_many_clicks_are_trained_as_ever_and_calibrated_after() -> None:
    data = clicks()
    made, told = model("fm"), model("fm")
    train(made, data, QUICK)
    train(told, data, QUICK.model_copy(update={"stop_on": "auc", "prior": "off", "calibration": "off"}))
    assert not told.config.calibrated
    weights = told.state_dict()
    assert all(torch.equal(made.state_dict()[name], weight) for name, weight in weights.items())
    held = data.split.validation
    label, logits = data.label[held], predict_logits(told, data.ids[held])
    wanted = chosen_kind(label, logits, before=data.label[data.split.train], among=("off", "platt"))
    assert made.config.calibrated is (wanted == "platt")
    if wanted == "platt":
        scale, shift = platt(label, logits, before=data.label[data.split.train])
        by_hand = 1 / (1 + np.exp(-(scale * predict_logits(told, data.ids).astype(np.float64) + shift)))
        np.testing.assert_allclose(predict(made, data.ids), by_hand, atol=1e-6)


def test_a_calibration_can_be_asked_for() -> None:
    data = clicks()
    made, plain = model("fm"), model("fm")
    train(made, data, QUICK.model_copy(update={"calibration": "platt"}))
    train(plain, data, QUICK.model_copy(update={"calibration": "off"}))
    held = data.split.validation
    label = data.label[held]
    scores, before = predict(made, data.ids[held]), predict(plain, data.ids[held])
    assert auc(label, scores) == pytest.approx(auc(label, before), abs=1e-4), "the order stays"
    assert logloss(label, scores) <= logloss(label, before) + 1e-6
    assert scores.mean() == pytest.approx(label.mean(), abs=0.02)
