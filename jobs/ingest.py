"""`llactr ingest`: fetches and checks the data, writes the offline tables; with `--append` adds to them."""

from __future__ import annotations

from pathlib import Path

from llactr.datasets import IngestSummary
from llactr.datasets.steps import append_spec
from llactr.objects import local_folder
from llactr.steps import Job, StepOutcome
from llactr.store.repository.ingest import ingest

__all__ = ["append", "describe", "run"]


def run(
    job: Job, spec_name: str, *, data_folder: Path | None = None, allow_unmatched: bool = False
) -> StepOutcome[IngestSummary]:
    """Ingests the dataset of a spec; its files are those in `data_folder`, else the recipe's, else beside the spec."""
    with local_folder(data_folder) as folder:
        return ingest(job, spec_name, data_folder=folder, allow_unmatched=allow_unmatched)


def append(
    job: Job, spec_name: str, *, data_folder: Path | None, allow_unmatched: bool = False
) -> StepOutcome[IngestSummary]:
    """Adds what a folder holds to the tables of an ingested dataset: new items, users, events, corrections."""
    with local_folder(data_folder) as folder:
        return append_spec(job, spec_name, data_folder=folder, allow_unmatched=allow_unmatched)


def describe(outcome: StepOutcome[IngestSummary]) -> str:
    """The outcome in a sentence, and its warnings, a line each."""
    made = outcome.result
    warnings = "".join(f"\nwarning: {text}" for text in made.warnings)
    return (
        f"{made.dataset}: {made.rows:,} rows ({made.dropped:,} dropped by the label rule), "
        f"{made.users or 0:,} users, {made.items or 0:,} items, {made.positives:.1%} positive{warnings}"
    )
