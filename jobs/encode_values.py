"""`llactr encode --values`: encodes each distinct value's text once, piece by piece, and only what is new."""

from __future__ import annotations

from llactr.pieces import ALONE, Workers
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Job, StepOutcome
from llactr.store.vectors.encode_values import encode_dataset_values
from llactr.store.vectors.summaries import EncodeValuesSummary

__all__ = ["describe", "run"]


def run(
    job: Job,
    dataset: str,
    config: ValueSemanticsConfig,
    *,
    untuned: bool = False,
    workers: Workers = ALONE,
    piece: int = 1024,
    unseen: int | None = None,
) -> StepOutcome[EncodeValuesSummary]:
    """Encodes the values that have no vector of this version yet. A killed run loses at most one piece a worker.

    Args:
        job: where.
        dataset: which.
        config: the encoder; the adapter that it names, else the one that collaborative tuning made last, where the
            spec allows it. An adapter of another model is refused.
        untuned: use no adapter; where none was tuned, and values were encoded without one before, that goes on.
        workers: who encodes; with several GPUs, one each.
        piece: distinct texts that are kept at a time.
        unseen: of users and items that no event has, the texts of so many are encoded, the newest; None for all.

    Raises:
        InputError: the spec gives no field a value_text.
        NotReadyError: no adapter has been made.
    """
    return encode_dataset_values(job, dataset, config, untuned=untuned, workers=workers, piece=piece, unseen=unseen)


def describe(outcome: StepOutcome[EncodeValuesSummary]) -> str:
    """The outcome in a sentence."""
    made = outcome.result
    return (
        f"values' semantics version {made.version}: {sum(made.values.values()):,} values of "
        f"{', '.join(made.values)}, {made.new_texts:,} texts encoded anew by {made.encoder}"
    )
