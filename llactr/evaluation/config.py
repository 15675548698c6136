"""What `llactr evaluate` compares: arms, backbones, a hold-out design, seeds and draws."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llactr.ctr import BackboneName, EnhancementConfig, ValuesConfig
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.designs import Design
from llactr.evaluation.verdict import MARGIN
from llactr.spec.history import Duration

__all__ = ["EvaluateConfig"]

_PAPER = Arm.parse("paper")


class EvaluateConfig(BaseModel):
    """A comparison under one design. `settings` and `training` hold what differs from a backbone's defaults.

    Without `arms` they follow from the arm that is served (`for_served`). `margin` is the smallest difference of AUC
    that matters: one below it is never called a help or a harm. .001 is what the literature of click prediction takes
    for an improvement (Cheng et al. 2016, Guo et al. 2017). `outcome_delay` (seconds, or such as 1h) takes the place of
    the spec's for arms that read the past: what they would be worth if outcomes were known that late.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    design: Design = Design("chronological")
    backbones: tuple[BackboneName, ...] = Field(default=("fm", "deepfm"), min_length=1)
    arms: tuple[Arm, ...] = ()
    seeds: int = Field(default=3, ge=1)
    draws: int = Field(default=5, ge=1)
    held_share: float = Field(default=0.2, gt=0, lt=1)
    bootstrap: int = Field(default=400, ge=10)
    margin: float = Field(default=MARGIN, gt=0, lt=0.5)
    outcome_delay: Duration | None = Field(default=None, ge=0)
    values: ValuesConfig = ValuesConfig()
    enhancement: EnhancementConfig = EnhancementConfig()
    settings: dict[BackboneName, dict[str, Any]] = {}
    training: dict[BackboneName, dict[str, Any]] = {}

    @field_validator("arms")
    @classmethod
    def _plain_is_there(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        if arms and PLAIN not in arms:
            raise ValueError("the arm 'plain' is needed: all others are compared with it")
        return tuple(sorted(set(arms), key=Arm.place))

    def for_served(self, arm: Arm | None) -> EvaluateConfig:
        """With arms: those given, else plain, the method's own (`paper`), and the served arm with its placebos.

        An arm with taste is also held against the same without it.

        Where plain is served, or nothing is known of what is, the placebos are those of `paper`.
        """
        if self.arms:
            return self
        treated = arm if arm is not None and arm.is_treatment else _PAPER
        arms = {PLAIN, _PAPER, treated, treated.without_taste, *treated.placebos}
        return self.model_copy(update={"arms": tuple(sorted(arms, key=Arm.place))})

    def with_arm(self, arm: Arm) -> EvaluateConfig:
        """With an arm beside those that were given; where none was, it follows by itself (`for_served`)."""
        if not self.arms:
            return self
        return self.model_copy(update={"arms": tuple(sorted({*self.arms, arm}, key=Arm.place))})

    @property
    def draw_count(self) -> int:
        """Draws that differ: the chronological design has one."""
        return self.draws if self.design.has_draws else 1
