"""What a walk through a data set's time is told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.config import WarmConfig
from llactr.evaluation.prequential import PolicyName
from llactr.lifecycle.gates import Gates
from llactr.spec.history import Duration

__all__ = ["WalkConfig"]


class WalkConfig(BaseModel):
    """Periods, policies, and the model.

    Attributes:
        every: length of a period in seconds; `7d` and the like are read.
        first: share of the rows that the first model knows of, at least; periods begin behind them.
        policies: which, in this order.
        train: the model, and how it is trained anew.
        warm: how it is gone on from.
        promote: the gates of `gated`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Duration = Field(default=7 * 86400.0, gt=0)
    first: float = Field(default=0.5, gt=0, lt=1)
    policies: tuple[PolicyName, ...] = ("never", "cold", "warm", "gated")
    train: TrainJobConfig
    warm: WarmConfig = WarmConfig()
    promote: Gates = Gates()
