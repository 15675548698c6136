"""Features of any keys at any moments, from the offline store: what online reads should have found then."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.spec import DatasetSpec
from llactr.store.feast.open import open_store
from llactr.store.names import PhysicalNames
from llactr.store.raw import raw_values
from llactr.store.repository.features import repository_features
from llactr.store.training import point_in_time_features
from llactr.workspace import Workspace

__all__ = ["features_as_of"]


def features_as_of(
    workspace: Workspace, spec: DatasetSpec, keys: pa.Table, *, config: Path | None = None
) -> dict[str, pa.ChunkedArray]:
    """The stored fields of users and items as they were at given moments, and those of the user's own repository.

    Args:
        workspace: an applied workspace.
        spec: the dataset's spec.
        keys: N rows with the join keys and `event_timestamp`, the moment of each, and the context fields by name.
        config: see `open_store`.

    Returns:
        field name -> (N,) raw values, null where the store had nothing.

    Raises:
        NotReadyError: nothing has been applied.
        StoreError: Feast failed.
    """
    names = PhysicalNames(spec)
    moments = keys[EVENT_TIMESTAMP].cast(TIMESTAMP)
    keys = keys.set_column(keys.column_names.index(EVENT_TIMESTAMP), EVENT_TIMESTAMP, moments)
    store = open_store(workspace, config=config)
    joined = point_in_time_features(store, spec, names, keys, with_release=False)
    fields = {field.name: field for owner in spec.entities for field in names.stored_fields(owner)}
    found = {name: raw_values(joined[names.features[name]], field) for name, field in fields.items()}
    repository = repository_features(workspace, spec, config=config)
    return found if repository is None else found | repository.as_of(keys)
