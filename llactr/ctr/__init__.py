"""CTR models: a fused embedding, backbones, the enhancement, the trainer, metrics and bundles.

Names are loaded on first use: none of what they need is imported with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.ctr.backbones import BACKBONES
    from llactr.ctr.bundle import Bundle
    from llactr.ctr.config import (
        BackboneName,
        EnhancementConfig,
        ModelConfig,
        TrainConfig,
        ValuesConfig,
        check_backbone,
    )
    from llactr.ctr.metrics import Metrics, auc, logloss, measure
    from llactr.ctr.model import CTRModel, Loss, predict
    from llactr.ctr.training.data import CTRData, Split
    from llactr.ctr.training.trainer import EpochRecord, TrainResult, train
    from llactr.ctr.training.training_set import TrainingSet
    from llactr.ctr.values.embedding import ValueTables
    from llactr.ctr.values.projections import ValueProjections
    from llactr.ctr.values.unseen import UnseenValues

__all__ = [
    "BACKBONES",
    "BackboneName",
    "Bundle",
    "CTRData",
    "CTRModel",
    "EnhancementConfig",
    "EpochRecord",
    "Loss",
    "Metrics",
    "ModelConfig",
    "Split",
    "TrainConfig",
    "TrainResult",
    "TrainingSet",
    "UnseenValues",
    "ValueProjections",
    "ValueTables",
    "ValuesConfig",
    "auc",
    "check_backbone",
    "logloss",
    "measure",
    "predict",
    "train",
]

__getattr__ = loader(
    __name__,
    {
        "BACKBONES": "backbones",
        "BackboneName": "config",
        "Bundle": "bundle",
        "CTRData": "training.data",
        "CTRModel": "model",
        "EnhancementConfig": "config",
        "EpochRecord": "training.trainer",
        "Loss": "model",
        "Metrics": "metrics",
        "ModelConfig": "config",
        "Split": "training.data",
        "TrainConfig": "config",
        "TrainResult": "training.trainer",
        "TrainingSet": "training.training_set",
        "UnseenValues": "values.unseen",
        "ValueProjections": "values.projections",
        "ValueTables": "values.embedding",
        "ValuesConfig": "config",
        "auc": "metrics",
        "check_backbone": "config",
        "logloss": "metrics",
        "measure": "metrics",
        "predict": "model",
        "train": "training.trainer",
    },
)
