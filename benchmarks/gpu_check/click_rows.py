"""Rows of the made-up click log, and models over them, as the training checks share them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from benchmarks.click_log import FIELDS, ClickLog
from benchmarks.gpu_check.check import Setting
from llactr.ctr import CTRData, CTRModel, ModelConfig, Split, TrainConfig
from llactr.transforms import FieldLayout

__all__ = ["DIM", "LAYERS", "click_rows", "config", "fresh", "layout"]

DIM = 32
LAYERS = {"deepfm": (128, 64, 1), "finalmlp": (192, 64, 64)}
"""Outputs of the layers over all embeddings, as the backbones have them by default; FinalMLP's two side by side."""
RESERVED_IDS = 3


def layout() -> FieldLayout:
    """20 fields, 1.4 million values."""
    names = tuple(shape.name for shape in FIELDS)
    return FieldLayout(names, tuple(shape.size + RESERVED_IDS for shape in FIELDS), (1,) * len(FIELDS))


@cache
def _drawn(rows: int) -> tuple[Any, Any]:
    log = ClickLog().rows(rows)
    return log.values + RESERVED_IDS, log.label


def click_rows(setting: Setting) -> CTRData:
    """Rows to train on, and a fifth as many to validate with."""
    train = setting.size(500_000, 60_000)
    count = train + train // 5
    ids, label = _drawn(count)
    return CTRData(
        ids, label, np.zeros(count, np.int32), Split(np.arange(train), np.arange(train, count), np.arange(0))
    )


def fresh(backbone: str) -> CTRModel:
    """A model without dropout, which two devices would draw differently."""
    return CTRModel(ModelConfig.model_validate({"backbone": backbone, "settings": {"dropout": 0.0}}), layout())


def config(device: Any, **changes: Any) -> TrainConfig:
    """One epoch with lazy tables."""
    wanted = {"embedding_optimizer": "lazy", "learning_rate": 2e-3, "max_epochs": 1, "min_steps": 0, "prior": "off"}
    return TrainConfig.model_validate({**wanted, "calibration": "off", "device": str(device), **changes})
