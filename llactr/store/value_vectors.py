"""Value vectors in the offline store: written piece by piece as they are encoded, read once per value and version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from llactr.atomic import publish, scratch
from llactr.columns import (
    CREATED_TIMESTAMP,
    DATASET,
    ENCODER,
    EVENT_TIMESTAMP,
    FIELD,
    SEMANTICS_VERSION,
    TEXT,
    VALUE,
    VECTOR,
)
from llactr.errors import DataError, NotReadyError
from llactr.manifest import file_hash, hash_once
from llactr.semantics.values import FieldValueVectors, ValueVectors
from llactr.spec import DatasetSpec
from llactr.store.feast.failures import store_failures
from llactr.store.feast.open import open_store
from llactr.store.names import ROW_ID
from llactr.store.tables import SEMANTICS_SCHEMAS, VALUE_SEMANTICS, value_files, vectors_path
from llactr.workspace import Workspace

__all__ = [
    "check_value_files",
    "find_value_vectors",
    "read_value_vectors",
    "stored_texts",
    "stored_vectors",
    "write_value_vectors",
    "written_at",
]

_DIGITS = 16
_END_OF_TIME = pd.Timestamp("2200-01-01", tz="UTC").as_unit("us")


def write_value_vectors(
    workspace: Workspace,
    dataset: str,
    version: str,
    *,
    encoder: str,
    keys: Sequence[tuple[str, str]],
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    moment: datetime | None = None,
) -> Path:
    """Adds N vectors to the offline table as one new file, which appears whole or not at all.

    A value that has a vector of this version gets the new one from now on: its text has changed.

    Args:
        workspace: where.
        dataset: the spec's name.
        version: the values' semantics version.
        encoder: the encoder's name.
        keys: N pairs of field and value.
        texts: N texts.
        vectors: (N, L) float32.
        moment: from when on they hold, with a zone; now unless given. The same vectors of one moment are one file,
            however often they are written.

    Returns:
        the new file.

    Raises:
        DataError: the arrays do not fit each other, or hold what is no number.
    """
    count = len(keys)
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or len(array) != count or len(texts) != count or not np.isfinite(array).all():
        raise DataError(
            f"value vectors of shape {array.shape} came with {count} values and {len(texts)} texts, or hold NaN: "
            "encode the values again"
        )
    now = moment or datetime.now(UTC)
    columns = {
        DATASET: [dataset] * count,
        FIELD: [field for field, _ in keys],
        VALUE: [value for _, value in keys],
        SEMANTICS_VERSION: [version] * count,
        VECTOR: pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * array.shape[1], array.ravel()),
        TEXT: list(texts),
        ENCODER: [encoder] * count,
        EVENT_TIMESTAMP: [now] * count,
        CREATED_TIMESTAMP: [now] * count,
    }
    table = pa.table(columns, schema=SEMANTICS_SCHEMAS[VALUE_SEMANTICS])
    vectors_path(workspace, dataset, version)  # refuses what is no version
    with scratch(workspace.semantics_table(VALUE_SEMANTICS) / f"{dataset}@{version}") as work:
        pq.write_table(table, work / "part.parquet")
        name = f"{_prefix(dataset, version, now)}-{file_hash(work / 'part.parquet')[:_DIGITS]}.parquet"
        path = workspace.semantics_table(VALUE_SEMANTICS) / name
        publish(work / "part.parquet", path)
    return path


def written_at(workspace: Workspace, dataset: str, version: str, moment: datetime) -> bool:
    """Whether vectors of exactly this moment have been written."""
    vectors_path(workspace, dataset, version)  # refuses what is no version
    return any(workspace.semantics_table(VALUE_SEMANTICS).glob(f"{_prefix(dataset, version, moment)}-*.parquet"))


def _prefix(dataset: str, version: str, moment: datetime) -> str:
    return f"{dataset}@{version}@{moment:%Y%m%dT%H%M%S%f}"


def check_value_files(workspace: Workspace, dataset: str, version: str) -> list[Path]:
    """The files of a version's vectors, each compared with the hash in its name, once per process.

    Raises:
        DataError: one is not the file that was written.
    """
    files = value_files(workspace, dataset, version)
    for path in files:
        digest = path.stem.rpartition("-")[2]
        if len(digest) == _DIGITS and not hash_once(path).startswith(digest):
            raise DataError(
                f"the offline table's file {path} is not the file that was written: remove it and run "
                "'llactr encode --values --force', or restore it from a copy"
            )
    return files


def stored_texts(workspace: Workspace, dataset: str, version: str) -> dict[tuple[str, str], str]:
    """(field, value) -> the text that its newest vector was made of."""
    schema = pa.schema([SEMANTICS_SCHEMAS[VALUE_SEMANTICS].field(name) for name in (FIELD, VALUE, TEXT)])
    found: dict[tuple[str, str], str] = {}
    for path in value_files(workspace, dataset, version):
        table = _read(path, schema)
        keys = zip(table[FIELD].to_pylist(), table[VALUE].to_pylist(), strict=True)
        found |= dict(zip(keys, table[TEXT].to_pylist(), strict=True))
    return found


def stored_vectors(workspace: Workspace, dataset: str, version: str) -> dict[str, NDArray[np.float32]]:
    """Field -> the newest vector of each of its values, (N, L) float32 in the order of values, read from the files.

    Memory: all vectors of the version twice.

    Raises:
        DataError: a file is not the one that was written.
    """
    files = check_value_files(workspace, dataset, version)
    if not files:
        return {}
    schema = pa.schema([SEMANTICS_SCHEMAS[VALUE_SEMANTICS].field(name) for name in (FIELD, VALUE, VECTOR)])
    table = pa.concat_tables([_read(path, schema) for path in files])
    keys = table.select([FIELD, VALUE]).append_column(ROW_ID, pa.array(np.arange(table.num_rows)))
    newest = keys.group_by([FIELD, VALUE]).aggregate([(ROW_ID, "max")])
    newest = newest.sort_by([(FIELD, "ascending"), (VALUE, "ascending")])
    fields, rows = newest[FIELD].to_numpy(), newest[f"{ROW_ID}_max"].to_numpy()
    return {name: _vectors(table.take(pa.array(rows[fields == name]))) for name in dict.fromkeys(fields.tolist())}


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns=schema.names).cast(schema)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(
            f"the offline table's file {path} cannot be read ({' '.join(str(error).split())[:200]}): remove it and run "
            "'llactr encode --values'"
        ) from None


def read_value_vectors(
    workspace: Workspace,
    spec: DatasetSpec,
    version: str,
    values: Mapping[str, Sequence[str]],
    *,
    config: Path | None = None,
) -> ValueVectors:
    """A version's vectors of some values from the offline store, through Feast; values without a vector are left out.

    Args:
        workspace: an applied workspace.
        spec: the dataset's spec.
        version: the values' semantics version.
        values: field -> distinct values.
        config: see `open_store`.

    Raises:
        NotReadyError: none of the values has a vector.
        StoreError: Feast failed.
    """
    table = _stored(workspace, spec, version, values, config)
    if not table.num_rows:
        raise NotReadyError(
            f"the offline store has no value vectors of version {version!r} for {spec.name!r}: "
            "run 'llactr encode --values' first"
        )
    vectors = _vectors(table)
    rows_of: dict[str, list[int]] = {}
    for row, field in enumerate(table[FIELD].to_pylist()):
        rows_of.setdefault(field, []).append(row)
    found = table[VALUE].to_pylist()
    fields = {
        field: FieldValueVectors(tuple(found[row] for row in rows_of[field]), vectors[rows_of[field]])
        for field in values
        if field in rows_of
    }
    return ValueVectors(spec.name, version, str(table[ENCODER][0].as_py()), fields)


def find_value_vectors(
    workspace: Workspace,
    spec: DatasetSpec,
    version: str,
    values: Mapping[str, Sequence[str]],
    *,
    config: Path | None = None,
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """What `OnlineReader.value_vectors` gives, from the offline store: field -> value -> (L,) float32, or nothing."""
    if not any(values.values()):
        return {}
    table = _stored(workspace, spec, version, values, config)
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    if table.num_rows:
        keys = zip(table[FIELD].to_pylist(), table[VALUE].to_pylist(), strict=True)
        for (field, value), vector in zip(keys, _vectors(table), strict=True):
            found.setdefault(field, {})[value] = vector
    return found


def _stored(
    workspace: Workspace, spec: DatasetSpec, version: str, values: Mapping[str, Sequence[str]], config: Path | None
) -> pa.Table:
    """Field, value, vector and encoder of those values that have a vector, in the order in which they were asked."""
    check_value_files(workspace, spec.name, version)
    wanted = [(field, value) for field, some in values.items() for value in some]
    entities = pd.DataFrame(
        {
            DATASET: spec.name,
            FIELD: [field for field, _ in wanted],
            VALUE: [value for _, value in wanted],
            SEMANTICS_VERSION: version,
            EVENT_TIMESTAMP: _END_OF_TIME,
            ROW_ID: range(len(wanted)),
        }
    )
    store = open_store(workspace, config=config)
    with store_failures("reading value vectors", then="run 'llactr apply', or encode the values again"):
        refs = [f"{VALUE_SEMANTICS}:{feature}" for feature in (VECTOR, ENCODER)]
        table = store.get_historical_features(entities, refs).to_arrow().sort_by(ROW_ID)
    return table.filter(pc.is_valid(table[VECTOR]))


def _vectors(table: pa.Table) -> NDArray[np.float32]:
    """(N, L) of N stored vectors, N at least 1."""
    lists = table[VECTOR].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    vectors: NDArray[np.float32] = lists.flatten().to_numpy().reshape(table.num_rows, -1).astype(np.float32)
    return vectors
