"""What the doctor finds: one thing that was looked at, and all of them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from llactr.steps import StepResult

__all__ = ["Area", "Diagnosis", "Finding"]

Area = Literal[
    "folder", "disk", "clock", "packages", "data", "semantics", "stores", "bundle", "history", "steps", "service"
]
State = Literal["well", "look", "wrong"]


class Finding(BaseModel):
    """One thing that was looked at.

    Attributes:
        area: what it belongs to; `dataset` where it is of one.
        state: well; look, where a person should; wrong, where something does not work.
        said: what was found; `do` what to do, empty where all is well.
    """

    model_config = ConfigDict(frozen=True)

    area: Area
    state: State
    said: str
    do: str = ""
    dataset: str = ""


class Diagnosis(StepResult):
    """All that was looked at in a workspace."""

    workspace: str
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Whether nothing is wrong; there may be things to look at."""
        return all(one.state != "wrong" for one in self.findings)
