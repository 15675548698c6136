"""What of the user's own repository a step's result depends on: the views that it reads, and their sources' files."""

from __future__ import annotations

from llactr import objects
from llactr.manifest import content_hash
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

__all__ = ["repository_state"]


def repository_state(workspace: Workspace, spec: DatasetSpec) -> dict[str, str]:
    """A name and a hash for a step's inputs; empty for a spec that reads no repository, of which Feast is not asked.

    Of a source that is a file here, or Parquet on `s3://`, the path, size and time of change count. What another source
    holds cannot be seen from here: a step that is to read it again needs `--force`.

    Raises:
        SpecError: a field reads what the repository does not have.
        StoreError: the registry cannot be read.
    """
    if not spec.repository_fields:
        return {}
    from llactr.store.asof.source import local_parquet_path
    from llactr.store.repository.features import repository_features

    features = repository_features(workspace, spec)
    assert features is not None
    said: list[object] = []
    for read in features.plan.reads:
        view = read.view
        said.append([read.ref, [[key.name, key.owner] for key in read.keys], sorted(map(str, read.features.values()))])
        said.append([str(view.ttl), _described(view.batch_source)])
        path = local_parquet_path(view.batch_source, features.store.config.repo_path) if view.batch_source else None
        if path is not None:
            files = [path] if path.is_file() else sorted(path.rglob("*.parquet")) if path.is_dir() else []
            said.append([[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files])
        place = objects.place_of(getattr(view.batch_source, "path", None))
        if place is not None:
            said.append(
                objects.versions(place, endpoint=getattr(view.batch_source, "s3_endpoint_override", None) or None)
            )
    said += [[demand.view.name, demand.view.udf_string] for demand in features.plan.demands]
    return {"repository": content_hash(said)}


def _described(source: object) -> list[str]:
    """What of a source says which rows it holds."""
    names = ("name", "path", "table", "query", "timestamp_field", "created_timestamp_column", "field_mapping")
    return [type(source).__name__, *(str(getattr(source, name, "")) for name in names)]
