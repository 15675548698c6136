"""Which arm the product would serve of each kept set, by its rule as it is now, on validation; no test row is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llactr.evaluation.arms import Arm
from llactr.evaluation.choice import Choice, choose
from llactr.evaluation.offer import Offer, offered
from llactr.evaluation.rows import median_past, user_codes
from llactr.evaluation.runs import EvaluationRuns
from llactr.evaluation.verdict import MARGIN
from llactr.steps import Job

__all__ = ["chosen", "told"]


def chosen(job: Job, backbone: str, runs: Sequence[EvaluationRuns]) -> Choice:
    """The choice among the arms that a set is offered and that were trained; `values` are as they were encoded, untuned."""
    spec = runs[0].draws.spec
    offer = Offer(spec, bool(spec.text_fields), median_past(job.workspace, spec))
    wanted = [Arm.parse("values untuned") if str(arm) == "values" else arm for arm in offered(offer)]
    scores, still = {}, {}
    for arm in wanted:
        for one in runs:
            if one.config.backbones == (backbone,) and arm in one.config.arms:
                scores[arm] = one.validation_scores(backbone, arm)
                if arm.reads_a_person:
                    still[arm] = one.validation_scores(backbone, arm, still=True)
    data = runs[0].draws[0].training_set.data
    rows, users = data.split.validation, user_codes(job.workspace, spec)
    return choose(
        backbone,
        data.label[rows],
        None if users is None else users[rows],
        scores,
        margin=MARGIN,
        still=still,
        left_out=offer.left_out,
    )


def told(choice: Choice) -> dict[str, Any]:
    """As it is kept."""
    return {
        "served": str(choice.served),
        "reason": choice.reason,
        "candidates": [
            {
                "arm": str(one.arm), "auc": one.auc, "user_auc": one.user_auc,
                "behind": dict(one.behind), "error": dict(one.error),
            }
            for one in choice.candidates
        ],
    }  # fmt: skip
