"""What `llactr evaluate` compares: arms, backbones, a hold-out design, seeds and draws."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llactr.ctr import BackboneName, EnhancementConfig, ValuesConfig
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.designs import Design

__all__ = ["EvaluateConfig"]


class EvaluateConfig(BaseModel):
    """A comparison under one design. `settings` and `training` hold what differs from a backbone's defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    design: Design = Design("chronological")
    backbones: tuple[BackboneName, ...] = Field(default=("fm", "deepfm"), min_length=1)
    arms: tuple[Arm, ...] = (PLAIN, *map(Arm.parse, ("paper", "paper permuted", "paper random")))
    seeds: int = Field(default=3, ge=1)
    draws: int = Field(default=5, ge=1)
    held_share: float = Field(default=0.2, gt=0, lt=1)
    bootstrap: int = Field(default=400, ge=10)
    values: ValuesConfig = ValuesConfig()
    enhancement: EnhancementConfig = EnhancementConfig()
    settings: dict[BackboneName, dict[str, Any]] = {}
    training: dict[BackboneName, dict[str, Any]] = {}

    @field_validator("arms")
    @classmethod
    def _plain_is_there(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        if PLAIN not in arms:
            raise ValueError("the arm 'plain' is needed: all others are compared with it")
        return tuple(sorted(set(arms), key=Arm.place))

    @property
    def draw_count(self) -> int:
        """Draws that differ: the chronological design has one."""
        return self.draws if self.design.has_draws else 1
