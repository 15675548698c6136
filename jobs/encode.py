"""`llactr encode`: encodes the K field descriptions, writes them with their semantics version, makes the release."""

from __future__ import annotations

from llactr.semantics import SemanticsConfig
from llactr.steps import Job, StepOutcome
from llactr.store.vectors.encode_fields import encode_dataset
from llactr.store.vectors.summaries import EncodeSummary

__all__ = ["describe", "run"]


def run(
    job: Job, dataset: str, config: SemanticsConfig, *, untuned: bool, effective_from: str
) -> StepOutcome[EncodeSummary]:
    """Encodes with the dataset's latest adapter, or without one, and releases the version.

    Args:
        job: where.
        dataset: which.
        config: the encoder, with the adapter that `llactr finetune` made last; where it names no model, that of the
            adapter, where it names an adapter, that one.
        untuned: use no adapter.
        effective_from: `start` (of the dataset: the release holds for all rows), `now`, or an ISO time with a zone.

    Raises:
        NotReadyError: no adapter has been made, or the last one was made for another model than the one named.
        InputError: `effective_from` is no moment, or an adapter is named that is not to be used.
    """
    return encode_dataset(job, dataset, config, untuned=untuned, effective_from=effective_from)


def describe(outcome: StepOutcome[EncodeSummary]) -> str:
    """The outcome in a sentence."""
    made = outcome.result
    return (
        f"semantics version {made.version}: {len(made.fields)} vectors of dim {made.dim} "
        f"by {made.encoder}, current from {made.effective_from}"
    )
