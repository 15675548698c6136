"""The language models of a dataset and how they are tuned: one of its field descriptions, one of its values."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from llactr.semantics.encoders.base import EncoderConfig
from llactr.semantics.tuning.config import ColikeConfig, FinetuneConfig

__all__ = ["SemanticsConfig", "ValueSemanticsConfig"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SemanticsConfig(_Section):
    """The language model and its tuning; `tune: false` uses it as published."""

    encoder: EncoderConfig = EncoderConfig()
    tune: bool = True
    finetune: FinetuneConfig = FinetuneConfig()


class ValueSemanticsConfig(_Section):
    """The language model of values, and its collaborative tuning; `tune: false` uses it as published.

    Of users and items that no event has, `llactr run` and `llactr advance` encode the texts of the `unseen` newest
    (null for all), since a catalogue may be a hundred times what was ever shown. `llactr encode --values` encodes the
    others; until then they are scored without their texts.
    """

    encoder: EncoderConfig = EncoderConfig()
    tune: bool = True
    colike: ColikeConfig = ColikeConfig()
    unseen: int | None = Field(default=2000, ge=0)
