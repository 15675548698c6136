"""The step that makes a dataset: fetched and checked, its offline tables written, or added to."""

from __future__ import annotations

from pathlib import Path

from llactr.datasets.append import append_offline_tables
from llactr.datasets.base import fetch
from llactr.datasets.ingest import ingest_key, tables_stand, write_offline_tables
from llactr.datasets.summary import IngestSummary
from llactr.errors import InputError
from llactr.spec import DatasetSpec, find_spec, load_spec
from llactr.steps import Job, Step, StepOutcome

__all__ = ["append_spec", "append_to_dataset", "ingest_dataset", "ingest_spec"]


def ingest_spec(
    job: Job, spec_name: str, *, data_folder: Path | None = None, allow_unmatched: bool = False
) -> StepOutcome[IngestSummary]:
    """Ingests the dataset of a spec; its files are those in `data_folder`, else the recipe's, else beside the spec.

    Args:
        job: where.
        spec_name: a YAML file, or the name of a spec that comes with llactr.
        data_folder: holds the source files.
        allow_unmatched: go on although no event finds its user's or item's row.
    """
    path = find_spec(spec_name)
    spec = load_spec(path)
    return ingest_dataset(job, spec, data_folder=data_folder, beside=path.parent, allow_unmatched=allow_unmatched)


def append_spec(
    job: Job, spec_name: str, *, data_folder: Path | None, allow_unmatched: bool = False
) -> StepOutcome[IngestSummary]:
    """Adds what a folder holds to the tables of an ingested dataset: new items, users, events, corrections.

    Raises:
        InputError: no folder is given.
        NotReadyError: the dataset has not been ingested.
        DataError: see `llactr.datasets.append_offline_tables`.
    """
    if data_folder is None:
        raise InputError("--append needs --data FOLDER, which holds at least one of the spec's sources")
    spec = load_spec(find_spec(spec_name))
    return append_to_dataset(job, spec, data_folder, allow_unmatched=allow_unmatched)


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
