"""What a study compares: arms, hold-out designs, seeds and draws."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.config import ValueSemanticsConfig
from llactr.ctr import BackboneName, EnhancementConfig, ValuesConfig
from llactr.errors import InputError

__all__ = ["STUDY_ARMS", "Design", "StudyArm", "StudyConfig", "has_values", "is_tuned", "study_config"]

StudyArm = Literal[
    "plain",
    "fre",
    "fie",
    "paper",
    "paper permuted",
    "paper random",
    "values",
    "values untuned",
    "values untuned permuted",
    "values permuted",
    "values random",
    "values words",
    "both",
    "plain cold",
    "values cold",
    "values cold permuted",
]
"""`paper` is FRE and FIE; `values` the tuned value vectors, `untuned` the encoder's own, `words` a bag of words of the
same texts; `cold` trains with cold starts (`llactr.ctr.cold_start`)."""

STUDY_ARMS: tuple[StudyArm, ...] = get_args(StudyArm)


def has_values(arm: StudyArm) -> bool:
    """Whether an arm trains with value vectors."""
    return arm.startswith("values") or arm == "both"


def is_tuned(arm: StudyArm) -> bool:
    """Whether an arm's value vectors come from the collaboratively tuned encoder."""
    return has_values(arm) and not arm.startswith(("values untuned", "values words"))


Design = Literal["chronological", "items", "rows10", "rows30"]
"""`items` keeps the rows of 20 % of the items out of training; `rows10`, `rows30` train on that percentage of rows."""


class StudyConfig(BaseModel):
    """A study of one design."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    design: Design = "items"
    backbones: tuple[BackboneName, ...] = Field(default=("fm", "deepfm"), min_length=1)
    arms: tuple[StudyArm, ...] = ("plain", "values", "values untuned", "values permuted", "values words")
    seeds: int = Field(default=3, ge=1)
    draws: int = Field(default=5, ge=1)
    held_share: float = Field(default=0.2, gt=0, lt=1)
    cold_share: float = Field(default=0.2, gt=0, lt=1)
    bootstrap: int = Field(default=400, ge=10)
    encoder: ValueSemanticsConfig = ValueSemanticsConfig()
    values: ValuesConfig = ValuesConfig()
    enhancement: EnhancementConfig = EnhancementConfig()
    settings: dict[BackboneName, dict[str, Any]] = {}
    training: dict[BackboneName, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _plain_is_there(self) -> StudyConfig:
        if "plain" not in self.arms:
            raise ValueError("a study needs the arm 'plain': all others are compared with it")
        return self

    @property
    def draw_count(self) -> int:
        """Draws that differ: the chronological design has one."""
        return 1 if self.design == "chronological" else self.draws


def study_config(values: ValueSemanticsConfig, flags: dict[str, Any]) -> StudyConfig:
    """A study's configuration from flags; a flag that is None was not given.

    Raises:
        InputError: a flag is out of range, or names no design, arm or backbone; the message lists those there are.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return StudyConfig.model_validate({"encoder": values.model_dump(), **given})
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"the study is not valid: {f'{place}: ' if place else ''}{problem['msg']}") from None
