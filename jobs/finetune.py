"""`llactr finetune`: fine-tunes the encoder on field-feature pairs (SSFT) and measures what it learned."""

from __future__ import annotations

from llactr.semantics import SemanticsConfig
from llactr.steps import Job, StepOutcome
from llactr.store.vectors.summaries import FinetuneSummary
from llactr.store.vectors.tuning import tune_fields

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, config: SemanticsConfig) -> StepOutcome[FinetuneSummary]:
    """Tunes an adapter for a dataset's fields on its training rows' values."""
    return tune_fields(job, dataset, config)


def describe(outcome: StepOutcome[FinetuneSummary]) -> str:
    """The outcome in a sentence."""
    made = outcome.result
    return (
        f"{made.model}: held-out field accuracy {made.before.accuracy:.2f} -> {made.after.accuracy:.2f} "
        f"on {made.values_held_out} values, adapter in {outcome.folder / 'adapter'}"
    )
