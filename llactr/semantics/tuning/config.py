"""How an encoder is tuned, as frozen settings; read without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ColikeConfig", "FinetuneConfig", "LoraSettings", "TuningConfig"]


class LoraSettings(BaseModel):
    """A low-rank adapter: W x + (alpha / rank) B A x, with B = 0 at the start.

    `target_modules` are endings of module names; None means every linear layer but the output layer, which is query,
    key, value and dense in MiniLM, and q/k/v/o/gate/up/down in a Llama. (The reference tunes query and value alone.)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(default=8, ge=1, le=256)
    alpha: float = Field(default=16, gt=0)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] | None = None


class TuningConfig(BaseModel):
    """How an adapter is tuned, whatever the objective.

    The learning rate is 20 times the reference's 1e-4, which is far too low for a run of some 40 steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=2, ge=1)
    patience: int = Field(default=2, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    gradient_norm: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    seed: int = Field(default=0, ge=0)
    lora: LoraSettings = LoraSettings()


class FinetuneConfig(TuningConfig):
    """How many values, which loss, and how it is tuned."""

    loss: Literal["contrastive", "generative"] = "contrastive"
    temperature: float = Field(default=0.02, gt=0)
    values_per_field: int = Field(default=100, ge=1)
    validation_per_field: int = Field(default=10, ge=0)
    held_out_per_field: int = Field(default=30, ge=0)


class ColikeConfig(TuningConfig):
    """How items are drawn together; `batch_size` counts windows, each of which reads `window + 1` items."""

    steps: int = Field(default=40, ge=1)
    batch_size: int = Field(default=20, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    temperature: float = Field(default=0.07, gt=0)
    window: int = Field(default=3, ge=1)
    epochs: int = Field(default=1, ge=1, le=1)
