"""Which settings of an arm are searched, and between which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from llactr.ctr.config import BackboneName, EnhancementConfig, TrainConfig, ValuesConfig
from llactr.ctr.training.config import enhancement_of, has_values, reads_a_person, trainable_arm

__all__ = ["DIMENSIONS", "Dimension", "SearchConfig", "TunedArm", "TunedSettings", "dimensions"]

TunedArm = Annotated[str, AfterValidator(trainable_arm)]
"""Any arm that can be trained into a bundle."""


@dataclass(frozen=True)
class Dimension:
    """A setting between two bounds. `log`: equal steps are equal factors; `whole`: whole numbers only."""

    name: str
    low: float
    high: float
    log: bool = True
    whole: bool = False

    def within(self, value: float) -> float:
        """The value, or the bound next to it: a weight decay of 0 becomes the smallest, which is as good as none."""
        bounded = min(max(value, self.low), self.high)
        return int(bounded) if self.whole else bounded


DIMENSIONS = {
    found.name: found
    for found in (
        Dimension("learning_rate", 2e-4, 5e-3),
        Dimension("weight_decay", 1e-8, 1e-2),
        Dimension("lambda_fre", 0.01, 0.7),
        Dimension("lambda_fie", 0.01, 0.7),
        Dimension("tau", 2.0, 200.0),
        Dimension("rank", 4, 64, whole=True),
        Dimension("decay_factor", 0.1, 1000.0),
    )
}
"""Bounds of everything that can be searched; those of the decay and the lambdas are the paper's."""


class SearchConfig(BaseModel):
    """One search: an arm of a backbone, how many trials, and what is the same in all of them.

    A trial's figure is its mean over `seeds` trainings. `settings`, `training` and `enhancement` are as in training;
    what is searched overrides them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneName = "deepfm"
    arm: TunedArm = "paper"
    trials: int = Field(default=20, ge=1)
    seeds: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    settings: dict[str, Any] = {}
    training: dict[str, Any] = {}
    enhancement: EnhancementConfig = EnhancementConfig()
    values: ValuesConfig = ValuesConfig()


def dimensions(config: SearchConfig) -> tuple[Dimension, ...]:
    """What is searched: learning rate and decay always, the lambdas and what shapes value vectors where they count."""
    names = ["learning_rate", "weight_decay"]
    fields = enhancement_of(config.arm, config.enhancement)
    if fields is not None:
        names += ["lambda_fre"] * fields.fre + ["lambda_fie"] * fields.fie
    if has_values(config.arm):
        names += ["tau", "rank", "decay_factor"]
    return tuple(DIMENSIONS[name] for name in names)


@dataclass(frozen=True)
class TunedSettings:
    """A trial's values, put where training looks for them."""

    training: dict[str, Any]
    enhancement: EnhancementConfig | None
    values: ValuesConfig | None

    @classmethod
    def of(cls, config: SearchConfig, found: Mapping[str, float]) -> TunedSettings:
        """What the config says, with a trial's values over it."""

        def chosen(*names: str) -> dict[str, float]:
            return {name: found[name] for name in names if name in found}

        enhancement = config.enhancement.model_copy(update=chosen("lambda_fre", "lambda_fie"))
        values = config.values.model_copy(update=chosen("tau", "rank", "decay_factor"))
        return cls(
            training={**config.training, **chosen("learning_rate", "weight_decay")},
            enhancement=enhancement_of(config.arm, enhancement),
            values=values if has_values(config.arm) else None,
        )

    @classmethod
    def defaults(cls, config: SearchConfig) -> dict[str, float]:
        """What each dimension has without a search, moved within its bounds: the values of trial 0."""
        training = TrainConfig.of(config.backbone, reads_a_person=reads_a_person(config.arm), **config.training)
        found = {**training.model_dump(), **config.enhancement.model_dump(), **config.values.model_dump()}
        return {dimension.name: dimension.within(float(found[dimension.name])) for dimension in dimensions(config)}
