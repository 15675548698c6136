"""Ingests the dataset of a spec; one that reads a Feast repository of the user's own is held against that first."""

from __future__ import annotations

from pathlib import Path

from llactr.datasets import IngestSummary
from llactr.datasets.steps import ingest_spec
from llactr.errors import SpecError
from llactr.spec import DatasetSpec, find_spec, load_spec
from llactr.steps import Job, StepOutcome
from llactr.store.repository.place import keep_repository, refuse_other_repository, repository_of_spec

__all__ = ["check_repository", "ingest", "repository_problems"]


def ingest(
    job: Job, spec_name: str, *, data_folder: Path | None = None, allow_unmatched: bool = False
) -> StepOutcome[IngestSummary]:
    """See `llactr.datasets.steps.ingest_spec`; nothing is ingested where the repository does not have what is read.

    Raises:
        SpecError: there is no such repository, view or feature.
        InputError: the workspace's other datasets use another repository.
    """
    path = find_spec(spec_name)
    spec = load_spec(path)
    repository = repository_of_spec(spec, data_folder or path.parent)
    refuse_other_repository(job.workspace, spec, repository)
    check_repository(spec, repository)
    outcome = ingest_spec(job, spec_name, data_folder=data_folder, allow_unmatched=allow_unmatched)
    keep_repository(job.workspace, repository)
    return outcome


def check_repository(spec: DatasetSpec, repository: Path | None) -> None:
    """Raises SpecError with all that `repository_problems` finds."""
    found = repository_problems(spec, repository)
    if found:
        raise SpecError("; ".join(dict.fromkeys(found.values())))


def repository_problems(spec: DatasetSpec, repository: Path | None) -> dict[str, str]:
    """Field name -> why it cannot be read from the repository; does not import Feast where a spec reads none.

    Args:
        spec: the dataset's spec.
        repository: its feature_store.yaml; see `repository_of_spec`.

    Raises:
        InputError: its configuration cannot be used.
        StoreError: its registry cannot be read.
    """
    if repository is None or not spec.repository_fields:
        return {}
    from llactr.store.feast.lean import lean_feast

    lean_feast()
    from llactr.store.feast.open import open_repository_file
    from llactr.store.repository.plan import plan_fields

    store, found = open_repository_file(repository), {}
    for field in spec.repository_fields:
        try:
            plan_fields(spec, store, only=[field])
        except SpecError as error:
            found[field.name] = str(error)
    return found
