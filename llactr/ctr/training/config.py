"""What a training step is told: the backbone, what its model uses, and what differs from the defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llactr.ctr.config import BackboneName, EnhancementConfig, ValuesConfig

__all__ = ["TrainArm", "TrainJobConfig", "enhancement_of", "has_values"]

TrainArm = Literal["plain", "fre", "fie", "paper", "values", "fre values", "fie values", "both"]
"""What a bundle's model uses: nothing, the field vectors (FRE, FIE, or both as `paper`), the value vectors, or all."""

_FIELDS: Mapping[str, tuple[bool, bool]] = {
    "fre": (True, False), "fre values": (True, False), "fie": (False, True), "fie values": (False, True),
    "paper": (True, True), "both": (True, True),
}  # fmt: skip
"""Whether an arm has FRE, and FIE; one that is not named here has no field vectors."""


class TrainJobConfig(BaseModel):
    """One model. `settings` and `training` hold what differs from the backbone's defaults.

    Without an `arm` it is `values` where the values have been encoded, else `paper`. A bundle is no placebo, and its
    value vectors are those that were encoded last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneName = "deepfm"
    arm: TrainArm | None = None
    seed: int = Field(default=0, ge=0)
    enhancement: EnhancementConfig = EnhancementConfig()
    values: ValuesConfig = ValuesConfig()
    cold_share: float = Field(default=0.0, ge=0, lt=1)
    settings: dict[str, Any] = {}
    training: dict[str, Any] = {}

    @field_validator("arm", mode="before")
    @classmethod
    def _can_be_served(cls, given: object) -> str | None:
        if given is None:
            return None
        known, name = get_args(TrainArm), str(given)
        if name not in known:
            if any(name.startswith(f"{one} ") for one in known):
                raise ValueError(f"arm {name!r} cannot be trained into a bundle: choose {', '.join(known)}")
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"arm {name!r} is not known: choose {', '.join(known)}{hint}")
        return name


def enhancement_of(arm: TrainArm, settings: EnhancementConfig) -> EnhancementConfig | None:
    """How field vectors act in an arm; None without any. An arm of one of FRE and FIE switches the other off."""
    if arm not in _FIELDS:
        return None
    fre, fie = _FIELDS[arm]
    return settings if fre and fie else settings.model_copy(update={"fre": fre, "fie": fie})


def has_values(arm: TrainArm) -> bool:
    """Whether an arm has value vectors."""
    return arm == "both" or arm.endswith("values")
