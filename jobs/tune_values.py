"""`llactr finetune --objective colike`: tunes the encoder of values on what people liked in close succession."""

from __future__ import annotations

from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Job, StepOutcome
from llactr.store.vectors.summaries import TuneValuesSummary
from llactr.store.vectors.tuning import tune_values

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, config: ValueSemanticsConfig) -> StepOutcome[TuneValuesSummary]:
    """Tunes an adapter for a dataset's values on the likes of its training rows."""
    return tune_values(job, dataset, config)


def describe(outcome: StepOutcome[TuneValuesSummary]) -> str:
    """The outcome in a sentence."""
    made = outcome.result
    return (
        f"{made.model}: {made.windows:,} windows of likes of {made.items:,} items, loss on held-out "
        f"windows {made.loss_before:.2f} -> {made.loss_after:.2f}, adapter in {outcome.folder / 'adapter'}"
    )
