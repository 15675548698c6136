"""The step that makes a dataset: fetched and checked, its offline tables written, or added to."""

from __future__ import annotations

from pathlib import Path

from llactr.datasets.append import append_offline_tables
from llactr.datasets.base import fetch
from llactr.datasets.ingest import ingest_key, tables_stand, write_offline_tables
from llactr.datasets.summary import IngestSummary
from llactr.spec import DatasetSpec
from llactr.steps import Job, Step, StepOutcome

__all__ = ["append_to_dataset", "ingest_dataset"]


def ingest_dataset(
    job: Job, spec: DatasetSpec, *, data_folder: Path | None, beside: Path, allow_unmatched: bool = False
) -> StepOutcome[IngestSummary]:
    """Ingests the dataset of a spec.

    Args:
        job: where.
        spec: of the dataset.
        data_folder: holds the source files; None for the recipe's own, or, without a recipe, those in `beside`.
        beside: the spec's folder.
        allow_unmatched: go on although no event finds its user's or item's row.
    """
    folder = data_folder or beside
    with job.measured(Step.INGEST, IngestSummary, dataset=spec.name, folder=job.workspace.dataset(spec.name)) as step:
        if spec.recipe:
            folder = fetch(spec.recipe, folder=data_folder, cache=job.workspace.root / "downloads")
        if not (tables_stand(job.workspace, spec.name) and step.unchanged(ingest_key(spec, folder))):
            summary = write_offline_tables(
                spec, job.workspace, folder, drop_appended=job.force, allow_unmatched=allow_unmatched
            )
            step.done(summary, f"{summary.rows:,} rows, {summary.positives:.1%} positive{_warned(summary)}")
    return step.outcome


def append_to_dataset(
    job: Job, spec: DatasetSpec, data_folder: Path, *, allow_unmatched: bool = False
) -> StepOutcome[IngestSummary]:
    """Adds what a folder holds to the tables of an ingested dataset: new items, users, events, corrections.

    Raises:
        DataError: see `append_offline_tables`.
    """
    with job.measured(Step.INGEST, IngestSummary, dataset=spec.name, folder=job.workspace.dataset(spec.name)) as step:
        summary = append_offline_tables(spec, job.workspace, data_folder, allow_unmatched=allow_unmatched)
        added = ", ".join(f"{count:,} of {table}" for table, count in summary.new_rows.items() if count)
        step.done(summary, f"new rows: {added or 'none'}{_warned(summary)}")
    return step.outcome


def _warned(summary: IngestSummary) -> str:
    return "".join(f"\nwarning: {text}" for text in summary.warnings)
