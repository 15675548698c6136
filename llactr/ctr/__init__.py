"""CTR models: a fused embedding, six backbones, the enhancement, the trainer, metrics and bundles."""

from llactr.ctr.bundle import Bundle
from llactr.ctr.config import (
    BACKBONES,
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
