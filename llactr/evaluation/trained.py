"""A trained model of an evaluation as a file: its weights, and how its training went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from llactr.atomic import writing_file
from llactr.ctr import CTRModel, TrainResult
from llactr.ctr.isotonic import Curve
from llactr.evaluation.arms import Arm
from llactr.evaluation.rivals.search import SearchedRival

__all__ = ["TrainedRun", "load_weights", "save_run", "saved_run"]


class TrainedRun(BaseModel):
    """How a training went. `auc` and `logloss` are those of validation; the curves hold one value an epoch."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    backbone: str
    arm: Arm
    draw: int
    seed: int
    auc: float | None
    logloss: float | None
    steps: int
    best_step: int
    best_epoch: int
    cpu_seconds: float
    train_loss: tuple[float, ...]
    validation_auc: tuple[float, ...]

    @classmethod
    def of(cls, result: TrainResult, *, backbone: str, arm: Arm, draw: int, seed: int) -> TrainedRun:
        """What is kept of a training's result."""
        return cls(
            backbone=backbone,
            arm=arm,
            draw=draw,
            seed=seed,
            auc=result.validation.auc,
            logloss=result.validation.logloss,
            steps=result.steps,
            best_step=result.best_step,
            best_epoch=result.best_epoch,
            cpu_seconds=result.cpu_seconds,
            train_loss=tuple(record.train_clicks_loss for record in result.history),
            validation_auc=tuple(record.validation_auc for record in result.history),
        )

    @classmethod
    def of_rival(cls, found: SearchedRival, *, backbone: str, arm: Arm, draw: int) -> TrainedRun:
        """What is told of a rival's search: the fit that was kept, and the CPU seconds of all; it has no epochs."""
        kept = found.chosen
        return cls(
            backbone=backbone, arm=arm, draw=draw, seed=found.seed, auc=kept.auc,
            logloss=kept.logloss, steps=kept.rounds, best_step=kept.rounds, best_epoch=0, cpu_seconds=found.cpu_s,
            train_loss=(), validation_auc=(),
        )  # fmt: skip


def save_run(path: Path, model: CTRModel, run: TrainedRun) -> None:
    """Writes a trained model; the file is there as a whole or not at all."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with writing_file(path) as draft:
        save_file(state, draft, metadata={"facts": run.model_dump_json()})


def saved_run(path: Path) -> TrainedRun:
    """How the training of a kept model went; its weights are not read."""
    with safe_open(path, "np") as file:
        return TrainedRun.model_validate_json(file.metadata()["facts"])


def load_weights(path: Path, model: CTRModel) -> None:
    """Puts a kept model's weights into a fresh one."""
    weights = load_file(path)
    if "output.scale" in weights and model.output is None:
        model.calibrate(1.0, 0.0)
    if "curve.bend" in weights:
        bends = weights["curve.bend"].numpy().astype(np.float64)
        model.bend(Curve(1.0, 0.0, bends, np.zeros(len(bends))))
    model.load_state_dict(weights)
