"""Field vectors in the offline store: written once per version, read once per (field, version), never per row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from llactr.columns import (
    CREATED_TIMESTAMP,
    DATASET,
    DESCRIPTION,
    ENCODER,
    EVENT_TIMESTAMP,
    FIELD,
    SEMANTICS_VERSION,
    VECTOR,
)
from llactr.errors import DataError, NotReadyError
from llactr.store.feast.failures import store_failures
from llactr.store.feast.open import open_store
from llactr.store.names import ROW_ID
from llactr.store.tables import FIELD_SEMANTICS, SEMANTICS_SCHEMAS, add_file, vectors_path
from llactr.workspace import Workspace

if TYPE_CHECKING:
    from llactr.semantics import FieldVectors

__all__ = ["assemble_field_vectors", "read_field_vectors", "write_field_vectors"]

_FEATURES = (VECTOR, DESCRIPTION, ENCODER)


def write_field_vectors(workspace: Workspace, vectors: FieldVectors) -> bool:
    """Adds a version's vectors to the offline table, all at once.

    A version is a content hash: what is there already stays as it is.

    Returns:
        whether they were new.

    Raises:
        DataError: the arrays do not fit each other, or hold what is no number.
    """
    count = len(vectors.fields)
    array = np.ascontiguousarray(vectors.vectors, dtype=np.float32)  # F x L
    if (
        array.ndim != 2
        or len(array) != count
        or len(vectors.descriptions) != count
        or len(set(vectors.fields)) != count
    ):
        raise DataError(
            f"field vectors of {vectors.dataset!r} have shape {array.shape} for {count} fields and "
            f"{len(vectors.descriptions)} descriptions: expected one vector and one description per distinct field"
        )
    if not np.isfinite(array).all():
        raise DataError(f"field vectors of {vectors.dataset!r} hold NaN or infinity: encode the fields again")
    now = datetime.now(UTC)
    columns = {
        DATASET: [vectors.dataset] * count,
        FIELD: list(vectors.fields),
        SEMANTICS_VERSION: [vectors.version] * count,
        VECTOR: pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * array.shape[1], array.ravel()),
        DESCRIPTION: list(vectors.descriptions),
        ENCODER: [vectors.encoder] * count,
        EVENT_TIMESTAMP: [now] * count,
        CREATED_TIMESTAMP: [now] * count,
    }
    table = pa.table(columns, schema=SEMANTICS_SCHEMAS[FIELD_SEMANTICS])
    return add_file(vectors_path(workspace, vectors.dataset, vectors.version), table)


def read_field_vectors(
    workspace: Workspace, dataset: str, version: str, fields: Sequence[str], *, config: Path | None = None
) -> FieldVectors:
    """A version's vectors from the offline store, through Feast, in the order of `fields`.

    Raises:
        NotReadyError: the version has no vector for one of the fields.
        StoreError: Feast failed.
    """
    store = open_store(workspace, config=config)
    # A writer's clock may be ahead of ours, and a version never changes: read as of the end of time.
    entities = pd.DataFrame(
        {
            DATASET: dataset,
            FIELD: list(fields),
            SEMANTICS_VERSION: version,
            EVENT_TIMESTAMP: pd.Timestamp("2200-01-01", tz="UTC").as_unit("us"),
            ROW_ID: range(len(fields)),
        }
    )
    with store_failures("reading field vectors", then="run 'llactr apply', or encode the fields again"):
        refs = [f"{FIELD_SEMANTICS}:{feature}" for feature in _FEATURES]
        table = store.get_historical_features(entities, refs).to_arrow().sort_by(ROW_ID)
    rows = [
        dict(zip(_FEATURES, values, strict=True))
        for values in zip(*(table[f].to_pylist() for f in _FEATURES), strict=True)
    ]
    return assemble_field_vectors(dataset, version, fields, rows, place="the offline store", first_run="llactr encode")


def assemble_field_vectors(
    dataset: str,
    version: str,
    fields: Sequence[str],
    rows: Sequence[dict[str, object]],
    *,
    place: str,
    first_run: str,
) -> FieldVectors:
    """FieldVectors from one row per field, each with `vector`, `description` and `encoder`, None where missing.

    Raises:
        NotReadyError: a field has no vector.
    """
    from llactr.semantics import FieldVectors  # slow to import, and the definitions do not need it

    missing = [field for field, row in zip(fields, rows, strict=True) if row[VECTOR] is None]
    if missing or len(rows) != len(fields):
        raise NotReadyError(
            f"{place} has no vector of semantics version {version!r} for the fields "
            f"{', '.join(map(repr, missing))} of {dataset!r}: run '{first_run}' first"
        )
    return FieldVectors(
        dataset=dataset,
        version=version,
        encoder=str(rows[0][ENCODER]),
        fields=tuple(fields),
        descriptions=tuple(str(row[DESCRIPTION]) for row in rows),
        vectors=np.array([row[VECTOR] for row in rows], dtype=np.float32),
    )
