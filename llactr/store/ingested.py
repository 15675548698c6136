"""What jobs ask of an ingested dataset: its resolved spec, and hashes that say whether its tables changed."""

from __future__ import annotations

from llactr.datasets import table_files
from llactr.errors import DataError, NotReadyError
from llactr.manifest import content_hash, file_hash, read_manifest
from llactr.spec import DatasetSpec, load_spec
from llactr.store.releases import releases
from llactr.store.tables import value_files
from llactr.workspace import Workspace

__all__ = ["dataset_hash", "dataset_spec", "release_hash", "values_hash"]


def dataset_spec(workspace: Workspace, dataset: str) -> DatasetSpec:
    """The resolved spec that ingest wrote.

    Raises:
        NotReadyError: the dataset has not been ingested.
    """
    path = workspace.dataset(dataset) / "spec.yaml"
    if not path.exists():
        raise NotReadyError(f"dataset {dataset!r} is not in {workspace.root}: run 'llactr ingest' first")
    return load_spec(path)


def dataset_hash(workspace: Workspace, dataset: str) -> str:
    """Content hash of a dataset's spec and offline tables, late files included.

    Raises:
        DataError: a file is not the one that was ingested.
    """
    spec = dataset_spec(workspace, dataset)
    tables = {
        f"{table}/{path.name}": file_hash(path)
        for table in ("events", "user", "item")
        for path in table_files(workspace.offline_table(dataset, table))
    }
    known = (read_manifest(workspace.dataset(dataset)) or {}).get("tables", {})
    for name, digest in known.items():
        if tables.get(name, digest) != digest:
            raise DataError(
                f"the file {name} of {dataset!r} is not the one that was ingested: restore it from a copy, or run "
                "'llactr ingest' again"
            )
    return content_hash({"spec": spec.model_dump(mode="json"), "tables": tables})


def release_hash(workspace: Workspace, dataset: str) -> str:
    """Content hash of a dataset's releases."""
    return content_hash([[one.version, one.effective_from.isoformat()] for one in releases(workspace, dataset)])


def values_hash(workspace: Workspace, dataset: str, version: str) -> str:
    """Content hash of the names of a version's files of value vectors; files never change."""
    return content_hash([version, [path.name for path in value_files(workspace, dataset, version)]])
