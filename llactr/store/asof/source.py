"""Reading and growing a feature view's batch source: a Parquet file, a directory of them, a glob, or what Feast reads.

Parquet on `s3://` is read by the parts that are needed, by DuckDB through pyarrow's client (`llactr.objects`).
Files that are still being written are not read: those whose name, or a folder's on the way, starts with `.` or `_`.
"""

from __future__ import annotations

import glob
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import _read_data_source, _write_data_source

from llactr import objects
from llactr.atomic import writing_file
from llactr.errors import DataError, NotReadyError
from llactr.sql import object_scan, parquet_scan, quote_identifier

__all__ = ["Relation", "append_to_source", "local_parquet_path", "open_source", "parquet_files", "parquet_objects"]

_PLACE = "__llactr_place"


@dataclass(frozen=True)
class Relation:
    """A table as SQL can name it."""

    sql: str
    """What stands behind FROM."""
    types: dict[str, str]
    """The columns, physical names, with their DuckDB types."""
    place: tuple[str, ...]
    """Columns that order the rows as they are stored."""
    mapping: dict[str, str]
    """Feast's name -> physical name, where they differ."""

    def physical(self, column: str) -> str:
        """The stored name of a column that Feast calls `column`.

        Raises:
            DataError: there is none.
        """
        for name in (self.mapping.get(column), column):
            if name is not None and name in self.types:
                return name
        raise DataError(f"the source {self.sql} has no column {column!r}, it has {', '.join(self.types)}")

    def quoted(self, column: str) -> str:
        """`physical`, quoted."""
        return quote_identifier(self.physical(column))


def local_parquet_path(source: DataSource, repo_path: Path | None) -> Path | None:
    """Where a Parquet source of this machine lies: a file, a directory or a glob; None for any other source.

    Relative paths start at the repository, wherever the process runs.
    """
    if not isinstance(source, FileSource) or "://" in source.path:
        return None
    if not (source.file_format is None or isinstance(source.file_format, ParquetFormat)):
        return None
    return Path(FileSource.get_uri_for_file_path(repo_path, source.path))


def parquet_files(source: DataSource, repo_path: Path | None) -> list[Path] | None:
    """The files at `local_parquet_path`, in the order of their paths; None where that is None.

    Raises:
        NotReadyError: there is no such file.
    """
    path = local_parquet_path(source, repo_path)
    if path is None:
        return None
    if path.is_file():
        return [path]
    if path.is_dir():
        base, found = path, list(path.rglob("*.parquet"))
    else:
        base = Path(*path.parts[: next((i for i, part in enumerate(path.parts) if glob.has_magic(part)), 0)])
        found = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]
    files = sorted(file for file in found if not any(part[0] in "._" for part in file.relative_to(base).parts))
    if not files:
        raise NotReadyError(f"the source {source.name!r} has no Parquet file at {path}: write its table first")
    return files


def parquet_objects(source: DataSource) -> list[str] | None:
    """The objects of a Parquet source on `s3://`, sorted; None for any other source.

    Raises:
        NotReadyError: there is none.
        StoreError: the store does not answer, or refuses.
    """
    if not isinstance(source, FileSource) or not source.path.startswith("s3://"):
        return None
    if not (source.file_format is None or isinstance(source.file_format, ParquetFormat)):
        return None
    return objects.listed(source.path.rstrip("/"), endpoint=source.s3_endpoint_override or None)


def open_source(connection: duckdb.DuckDBPyConnection, source: DataSource, repo_path: Path | None) -> Relation:
    """A source as something to select from on `connection`; nothing but the schema is read of a Parquet source.

    Other sources (Delta, Iceberg, Lance, MLflow, other object stores) come through Feast's own reader, into memory.
    """
    mapping = {new: old for old, new in source.field_mapping.items()}
    files = parquet_files(source, repo_path)
    place: tuple[str, ...]
    if files is not None:
        sql, place = parquet_scan(files), ("file_index", "file_row_number")
    elif (found := parquet_objects(source)) is not None:
        objects.show_to_duckdb(connection, endpoint=_endpoint(source))
        sql, place = object_scan(found), ("file_index", "file_row_number")
    else:
        table: pa.Table = _read_data_source(source, str(repo_path)).to_pyarrow()
        table = table.append_column(_PLACE, pa.array(np.arange(table.num_rows)))
        name = f"source_{uuid.uuid4().hex}"
        connection.register(name, table)
        sql, place = name, (_PLACE,)
    described = connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
    return Relation(sql, {name: kind for name, kind, *_ in described}, place, mapping)


def append_to_source(table: Any, source: DataSource, repo_path: str, *mode: Any) -> None:
    """Feast's writer of a batch source, except that a directory of Parquet grows by a new file and is never rewritten.

    Args:
        table: an ibis table.
        source: where to.
        repo_path: where relative paths start.
        mode: what Feast passes on.
    """
    target = objects.place_of(source.path) if isinstance(source, FileSource) else None
    if target is not None and not target.endswith(".parquet") and not mode:
        found = parquet_objects(source)
        assert found is not None
        with tempfile.TemporaryDirectory(prefix="llactr-objects-") as folder:
            local = Path(folder) / "rows.parquet"
            schema = objects.read_schema(found[0], endpoint=_endpoint(source))
            pq.write_table(table.to_pyarrow().cast(schema), local)
            name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
            objects.put(local, f"{target}/{name}", endpoint=_endpoint(source))
        return
    path = local_parquet_path(source, Path(repo_path))
    if path is None or not path.is_dir() or mode:
        _write_data_source(table, source, repo_path, *mode)
        return
    existing: Sequence[Path] = sorted(path.glob("*.parquet"))
    rows: pa.Table = table.to_pyarrow()
    if existing:
        rows = rows.cast(pq.read_schema(existing[0]))
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
    with writing_file(path / name) as draft:
        pq.write_table(rows, draft)


def _endpoint(source: DataSource) -> str | None:
    return (source.s3_endpoint_override or None) if isinstance(source, FileSource) else None
