"""Policies of retraining over time: each row is scored by the model that was live when it came (prequential).

Dawid (1984) names the principle; Gama et al. (2013) use it for streams. What is held here are results alone: who walks
through the time is `llactr.lifecycle.policies`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.ctr.metrics import logloss, measure
from llactr.steps import StepResult

__all__ = ["POLICIES", "PeriodFigures", "PolicyFigures", "PolicyName", "PrequentialResult", "figures_of"]

PolicyName = Literal["never", "cold", "warm", "gated"]
POLICIES: dict[PolicyName, str] = {
    "never": "never retrained",
    "cold": "trained anew every time",
    "warm": "gone on from every time",
    "gated": "gone on from, with gates",
}
"""What each does at the beginning of a period, in words."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PeriodFigures(_Model):
    """One period of one policy.

    Attributes:
        begins: ISO moment, UTC.
        rows: scored in it, after the label rule.
        auc: of these rows; None where they have one label.
        cpu_seconds: of what was done at its beginning: training, and holding models against the gates.
        live: the period at whose beginning the live model was trained; 0 is the first model.
        trained: whether a model was trained at its beginning.
        note: why a trained model is not live, or could not be trained; empty for nothing.
    """

    number: int
    begins: str
    rows: int
    positives: int
    auc: float | None
    logloss: float
    cpu_seconds: float
    live: int
    trained: bool
    note: str = ""


class PolicyFigures(_Model):
    """A policy over all periods; `auc` and `logloss` are of all scored rows together."""

    policy: PolicyName
    auc: float | None
    logloss: float
    cpu_seconds: float
    periods: tuple[PeriodFigures, ...]

    @property
    def mean_auc(self) -> float | None:
        """The mean of the periods' AUC: what comparing scores across periods has no part in."""
        found = [one.auc for one in self.periods if one.auc is not None]
        return float(np.mean(found)) if found else None


class PrequentialResult(StepResult):
    """All policies on the same rows.

    Attributes:
        every_seconds: length of a period.
        first_rows: rows that the first model knew of.
        first_cpu_seconds: what its training took; it is in no policy's cost.
        constant_logloss: of the click rate of the rows before each period.
    """

    dataset: str
    backbone: str
    arm: str
    every_seconds: float
    first_rows: int
    first_cpu_seconds: float
    rows: int
    positives: int
    constant_logloss: float
    policies: tuple[PolicyFigures, ...]

    def of(self, policy: PolicyName) -> PolicyFigures | None:
        """One of them."""
        return next((one for one in self.policies if one.policy == policy), None)


def figures_of(
    policy: PolicyName, periods: tuple[PeriodFigures, ...], label: NDArray[np.float32], scores: NDArray[np.float32]
) -> PolicyFigures:
    """A policy's figures, of all scored rows (N,) together."""
    return PolicyFigures(
        policy=policy,
        auc=measure(label, scores).auc,
        logloss=logloss(label, scores),
        cpu_seconds=round(sum(one.cpu_seconds for one in periods), 3),
        periods=periods,
    )
