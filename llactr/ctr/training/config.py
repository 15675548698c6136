"""What a training step is told: the backbone, what its model uses, and what differs from the defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llactr.ctr.config import BackboneName, EnhancementConfig, ValuesConfig
from llactr.ctr.history_arms import HISTORY_ARMS, HistoryArm, parted

__all__ = [
    "TRAIN_ARMS", "TrainJobConfig", "enhancement_of", "has_values", "history_arm", "reads_a_person", "trainable_arm",
]  # fmt: skip

TRAIN_ARMS = ("plain", "fre", "fie", "paper", "values", "fre values", "fie values", "both")
"""What a bundle's model uses: nothing, the field vectors (FRE, FIE, or both as `paper`), the value vectors, or all.

Each but `plain` may have a history part behind it, or a history part stands alone; see `llactr.ctr.history_arms`.
"""

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
    arm: str | None = None
    seed: int = Field(default=0, ge=0)
    enhancement: EnhancementConfig = EnhancementConfig()
    values: ValuesConfig = ValuesConfig()
    cold_share: float = Field(default=0.0, ge=0, lt=1)
    settings: dict[str, Any] = {}
    training: dict[str, Any] = {}

    @field_validator("arm", mode="before")
    @classmethod
    def _can_be_served(cls, given: object) -> str | None:
        return None if given is None else trainable_arm(str(given))


def trainable_arm(name: str) -> str:
    """The name of an arm that a bundle can have.

    Raises:
        ValueError: it is none.
    """
    base, past = parted(name)
    if base in TRAIN_ARMS and (past is None or name in {str(past), f"{base} {past}"} - {f"plain {past}"}):
        return name
    choice = f"choose {', '.join(TRAIN_ARMS)}, or one with history: {', '.join(HISTORY_ARMS)}"
    if any(name.startswith(f"{one} ") for one in (*TRAIN_ARMS[1:], *HISTORY_ARMS)):
        raise ValueError(f"arm {name!r} cannot be trained into a bundle: {choice}")
    near = difflib.get_close_matches(name, (*TRAIN_ARMS, *HISTORY_ARMS), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"arm {name!r} is not known: {choice}{hint}")


def enhancement_of(arm: str, settings: EnhancementConfig) -> EnhancementConfig | None:
    """How field vectors act in an arm; None without any. An arm of one of FRE and FIE switches the other off."""
    base, _ = parted(arm)
    if base not in _FIELDS:
        return None
    fre, fie = _FIELDS[base]
    return settings if fre and fie else settings.model_copy(update={"fre": fre, "fie": fie})


def has_values(arm: str) -> bool:
    """Whether an arm has value vectors."""
    base, _ = parted(arm)
    return base == "both" or base.endswith("values")


def history_arm(arm: str) -> HistoryArm | None:
    """What of the past an arm reads; None for nothing."""
    return parted(arm)[1]


def reads_a_person(arm: str) -> bool:
    """Whether an arm reads what is the person's own past."""
    past = history_arm(arm)
    return past is not None and past.past == "history"
