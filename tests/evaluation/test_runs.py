"""Which runs there are, what their files are called and hold, and that what was trained is not trained again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llactr.ctr import CTRModel, EpochRecord, Metrics, ModelConfig, TrainResult
from llactr.evaluation.arms import Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.rivals.search import SearchedRival, TriedSettings
from llactr.evaluation.runs import Cell, cells, run_file
from llactr.evaluation.trained import TrainedRun, load_weights, save_run, saved_run
from llactr.semantics import ValueSemanticsConfig
from llactr.transforms import Transform
from tests.evaluation.test_designs import ROWS, spec

CONFIG = EvaluateConfig.model_validate(
    {"design": "items", "backbones": ["fm", "deepfm"], "arms": ["values", "plain"], "seeds": 2, "draws": 2}
)
SEMANTICS = ValueSemanticsConfig()


def record(epoch: int, auc: float) -> EpochRecord:
    return EpochRecord(
        epoch=epoch, step=10 * epoch, train_loss=0.9, train_clicks_loss=0.7 - 0.1 * epoch,
        train_representation_loss=None, validation_auc=auc, validation_logloss=0.6, seconds=1.0,
    )  # fmt: skip


RESULT = TrainResult(
    history=(record(1, 0.7), record(2, 0.8), record(3, 0.75)), best_epoch=2, best_step=20, steps=30,
    validation=Metrics(auc=0.8, logloss=0.6, rows=100, clicks=50), seconds=3.5, cpu_seconds=2.5,
)  # fmt: skip


def kept(arm: str = "values") -> TrainedRun:
    return TrainedRun.of(RESULT, backbone="fm", arm=Arm.parse(arm), draw=1, seed=3)


def test_runs_come_draw_by_draw_then_by_backbone_arm_and_seed():
    found = [(cell.draw, cell.backbone, str(cell.arm), cell.seed) for cell in cells(CONFIG)]
    assert found == [
        (draw, backbone, arm, seed)
        for draw in (0, 1) for backbone in ("fm", "deepfm") for arm in ("plain", "values") for seed in (0, 1)
    ]  # fmt: skip
    chronological = CONFIG.model_copy(update={"design": EvaluateConfig().design})
    assert {cell.draw for cell in cells(chronological)} == {0}, "the chronological design has one draw"


def name(arm: str = "plain", seed: int = 0, config: EvaluateConfig = CONFIG, semantics=SEMANTICS) -> str:
    return run_file(Cell(0, "fm", Arm.parse(arm), seed), config, semantics)


def test_a_run_has_a_file_of_its_own():
    assert name("values untuned permuted", seed=1).startswith("0-fm-values_untuned_permuted-1-")
    files = [run_file(cell, CONFIG, SEMANTICS) for cell in cells(CONFIG)]
    assert len(set(files)) == len(files) == 16


def test_models_of_another_rule_of_calibration_are_not_taken_for_ones_of_this(monkeypatch):
    """Kept arms without calibration would stand beside new ones with it, and logloss would tell that apart."""
    before = name()
    monkeypatch.setattr("llactr.evaluation.runs.CALIBRATED", "none")
    assert name() != before


def test_a_rivals_file_is_the_same_for_all_backbones():
    rival = Arm.parse("lightgbm")
    files = {run_file(Cell(1, backbone, rival, 2), CONFIG, SEMANTICS) for backbone in ("fm", "deepfm")}
    assert len(files) == 1
    assert files.pop().startswith("1-lightgbm-2-")


def test_what_is_told_of_a_rivals_search():
    tried = tuple(
        TriedSettings(settings={"leaves": n}, auc=auc, logloss=0.5, rounds=10 * n, cpu_s=n)
        for n, auc in ((1, 0.6), (2, 0.8), (3, 0.7))
    )
    found = SearchedRival(rival="lightgbm", seed=4, tried=tried, best=1, scored_per_cpu_s=None)
    run = TrainedRun.of_rival(found, backbone="fm", arm=Arm.parse("lightgbm"), draw=3)
    assert (run.arm, run.backbone, run.draw, run.seed) == (Arm.parse("lightgbm"), "fm", 3, 4)
    assert (run.auc, run.steps, run.cpu_seconds) == (0.8, 20, 6), "the kept fit's, and the CPU of all"


def test_a_file_is_named_by_what_made_the_model():
    """More seeds, draws or arms leave the models there are; other settings do not."""
    more = CONFIG.model_copy(update={"seeds": 7, "draws": 9, "arms": (Arm(),)})
    assert name(config=more) == name()
    assert name(config=CONFIG.model_copy(update={"training": {"fm": {"batch_size": 77}}})) != name()
    assert name(config=CONFIG.model_copy(update={"training": {"deepfm": {"batch_size": 77}}})) == name()
    tuned = ValueSemanticsConfig.model_validate({"colike": {"steps": 3}})
    assert name("values", semantics=tuned) != name("values")
    assert name("plain", semantics=tuned) == name("plain"), "plain has no language model"


def test_what_is_kept_of_a_training():
    run = kept()
    assert (run.auc, run.logloss, run.steps, run.best_step, run.best_epoch) == (0.8, 0.6, 30, 20, 2)
    assert run.train_loss == pytest.approx((0.6, 0.5, 0.4))
    assert run.validation_auc == (0.7, 0.8, 0.75)
    assert run.cpu_seconds == 2.5


def model(seed: int) -> CTRModel:
    return CTRModel(ModelConfig.model_validate({"backbone": "fm"}), Transform.fit(spec(), ROWS).layout, seed=seed)


def test_a_kept_model_has_its_weights_and_its_facts(tmp_path):
    trained, fresh = model(1), model(2)
    path = tmp_path / "0-fm-plain-0.safetensors"
    save_run(path, trained, kept("values untuned random"))
    assert [found.name for found in tmp_path.iterdir()] == [path.name], "no draft is left"
    assert saved_run(path) == kept("values untuned random")
    assert not torch.equal(fresh.embedding.weight, trained.embedding.weight)
    load_weights(path, fresh)
    for key, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value)


def test_a_model_that_is_saved_in_parts_is_not_there(tmp_path, monkeypatch):
    """A run that is killed while it writes leaves a draft, which is trained again, and no half model."""

    def torn(state, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("llactr.evaluation.trained.save_file", torn)
    path = tmp_path / "run.safetensors"
    with pytest.raises(OSError, match="no space left"):
        save_run(path, model(0), kept())
    assert not path.exists()


def test_a_training_that_never_had_an_auc_is_kept_too(tmp_path):
    run = kept().model_copy(update={"auc": None, "validation_auc": (float("nan"),)})
    path = tmp_path / "run.safetensors"
    save_run(path, model(0), run)
    assert saved_run(path).auc is None
    assert np.isnan(saved_run(path).validation_auc[0])
