"""The six backbones, one file each, and the function that makes one from its settings."""

from __future__ import annotations

from llactr.ctr.backbones.base import Backbone
from llactr.ctr.backbones.deepfm import DeepFM
from llactr.ctr.backbones.finalmlp import FinalMLP
from llactr.ctr.backbones.fm import FM
from llactr.ctr.backbones.fmfm import FmFM
from llactr.ctr.backbones.fwfm import FwFM
from llactr.ctr.backbones.wukong import WuKong
from llactr.ctr.config import DeepFMSettings, FinalMLPSettings, FmFMSettings, FwFMSettings, ModelConfig, WuKongSettings

__all__ = ["FM", "Backbone", "DeepFM", "FinalMLP", "FmFM", "FwFM", "WuKong", "make_backbone"]


def make_backbone(config: ModelConfig, *, field_count: int) -> Backbone:
    """A fresh backbone for that many fields."""
    dim = config.embedding_dim
    match config.settings:
        case DeepFMSettings() as settings:
            return DeepFM(settings, field_count=field_count, dim=dim)
        case FinalMLPSettings() as settings:
            return FinalMLP(settings, field_count=field_count, dim=dim)
        case WuKongSettings() as settings:
            return WuKong(settings, field_count=field_count, dim=dim)
        case FwFMSettings():
            return FwFM(field_count=field_count, dim=dim)
        case FmFMSettings():
            return FmFM(field_count=field_count, dim=dim)
        case _:
            return FM()
