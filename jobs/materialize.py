"""`llactr apply` and `llactr materialize`: what `feast apply` and `feast materialize` do in feature_repo/."""

from __future__ import annotations

from llactr.steps import Job, StepOutcome
from llactr.store.feast.steps import ApplySummary, MaterializeSummary, apply_datasets, materialize_datasets

__all__ = ["apply", "describe_apply", "describe_materialize", "materialize"]


def apply(job: Job) -> StepOutcome[ApplySummary]:
    """Registers the definitions of all ingested datasets; those of datasets that are gone are removed."""
    return apply_datasets(job)


def materialize(job: Job) -> StepOutcome[MaterializeSummary]:
    """Loads every view's newest rows into the online store."""
    return materialize_datasets(job)


def describe_apply(outcome: StepOutcome[ApplySummary]) -> str:
    """The outcome in a sentence."""
    return f"registered {', '.join(outcome.result.views)}"


def describe_materialize(outcome: StepOutcome[MaterializeSummary]) -> str:
    """The outcome in a sentence."""
    return f"online: {', '.join(outcome.result.views)}{outcome.result.told}"
