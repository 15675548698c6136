"""`llactr ingest`: fetches and checks the data, writes the offline tables; with `--append` adds to them."""

from __future__ import annotations

from pathlib import Path

from llactr.datasets import append_offline_tables, fetch, ingest_key, write_offline_tables
from llactr.errors import InputError
from llactr.spec import find_spec, load_spec
from llactr.steps import Job, StepOutcome
from llactr.store.ingested import dataset_spec

__all__ = ["append", "describe", "run"]


def run(job: Job, spec_name: str, *, data_folder: Path | None = None) -> StepOutcome:
    """Ingests the dataset of a spec; its files are those in `data_folder`, else the recipe's, else beside the spec."""
    path = find_spec(spec_name)
    spec = load_spec(path)
    folder = data_folder or path.parent
    with job.measured("ingest", dataset=spec.name, folder=job.workspace.dataset(spec.name)) as step:
        if spec.recipe:
            folder = fetch(spec.recipe, folder=data_folder, cache=job.workspace.root / "downloads")
        if not step.unchanged(ingest_key(spec, folder)):
            summary = write_offline_tables(spec, job.workspace, folder)
            step.done(summary.model_dump(mode="json"), f"{summary.rows:,} rows, {summary.positives:.1%} positive")
    return step.outcome


def append(job: Job, spec_name: str, *, data_folder: Path | None) -> StepOutcome:
    """Adds what a folder holds to the tables of an ingested dataset: new items, users, events, corrections.

    Raises:
        InputError: no folder is given.
        NotReadyError: the dataset has not been ingested.
        DataError: see `append_offline_tables`.
    """
    if data_folder is None:
        raise InputError("--append needs --data FOLDER, which holds at least one of the spec's sources")
    name = load_spec(find_spec(spec_name)).name
    with job.measured("ingest", dataset=name, folder=job.workspace.dataset(name)) as step:
        summary = append_offline_tables(dataset_spec(job.workspace, name), job.workspace, data_folder)
        added = ", ".join(f"{count:,} of {table}" for table, count in summary.new_rows.items() if count)
        step.done(summary.model_dump(mode="json"), f"new rows: {added or 'none'}")
    return step.outcome


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    return (
        f"{facts['dataset']}: {facts['rows']:,} rows ({facts['dropped']:,} dropped by the label rule), "
        f"{facts['users'] or 0:,} users, {facts['items'] or 0:,} items, {facts['positives']:.1%} positive"
    )
