"""CTR models: a fused embedding, six backbones, the enhancement, the trainer, metrics and bundles."""

from llactr.ctr.bundle import Bundle
from llactr.ctr.config import BACKBONES, BackboneName, EnhancementConfig, ModelConfig, TrainConfig, check_backbone
from llactr.ctr.data import CTRData, Split
from llactr.ctr.metrics import Metrics, auc, logloss, measure
from llactr.ctr.model import CTRModel, Loss, predict
from llactr.ctr.training_set import TrainingSet
from llactr.ctr.trainer import EpochRecord, TrainResult, train

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
    "auc",
    "check_backbone",
    "logloss",
    "measure",
    "predict",
    "train",
]
