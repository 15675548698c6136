"""Reads a spec's sources, Parquet, CSV or a DuckDB table, in batches of rows, only the columns that are asked for."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.datasets.csv_source import csv_batches, csv_names
from llactr.errors import DataError
from llactr.spec import DatasetSpec, SourceSpec
from llactr.sql import connect, quote_identifier

__all__ = ["read_source", "source_batches", "source_files", "table_files"]

_BATCH_ROWS = 1 << 18


def read_source(spec: DatasetSpec, name: str, folder: Path) -> pa.Table:
    """A whole source as one table, with the types that it has; every column of a CSV file is text.

    Args:
        spec: the dataset's spec.
        name: the source's name in the spec.
        folder: the data folder that the source's path is relative to.

    Raises:
        DataError: the source is missing or cannot be read.
    """
    parts = [pa.Table.from_batches([batch]) for batch in source_batches(spec.sources[name], name, folder, None)]
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"the files of source {name!r} do not fit together: {error}") from None


def source_files(source: SourceSpec, name: str, folder: Path) -> list[Path]:
    """The files that a source consists of, sorted by path.

    Raises:
        DataError: there is none.
    """
    path = folder / source.path
    if path.is_file():
        return [path]
    if path.is_dir() and source.format == "parquet":
        files = sorted(file for file in path.rglob("*.parquet") if file.is_file() and not file.name.startswith("."))
        if not files:
            raise DataError(f"source {name!r}: the folder {path} holds no .parquet file")
        return files
    matches = glob.glob(source.path, root_dir=folder, recursive=True) if glob.has_magic(source.path) else []
    files = sorted(folder / match for match in matches if (folder / match).is_file())
    if not files:
        raise DataError(f"source {name!r}: there is no file at {path}: put it there, or mend 'path' in the spec")
    return files


def source_batches(
    source: SourceSpec, name: str, folder: Path, columns: Mapping[str, pa.DataType] | None
) -> Iterator[pa.RecordBatch]:
    """A source's rows in their order, at least one batch (of no rows, when there are none).

    Args:
        source: where the rows are.
        name: the source's name, for messages.
        folder: the data folder.
        columns: the wanted columns; a CSV file's text is read as these types. None: all columns.

    Raises:
        DataError: a file is missing, truncated or not of its format, or lacks a column.
    """
    for path in source_files(source, name, folder):
        place = f"source {name!r} ({path.name})"
        try:
            if source.format == "parquet":
                yield from _parquet_batches(path, place, columns)
            elif source.format == "csv":
                yield from _csv_batches(path, place, columns, source)
            else:
                yield from _duckdb_batches(path, place, columns, source.table or "")
        except (pa.ArrowException, OSError, duckdb.Error) as error:
            reason = str(error).strip().splitlines()[0]
            if source.format == "csv" and source.quote is None and '"' in reason:
                reason += '; if the file quotes nothing, say quote: "" for this source in the spec'
            if "UTF8" in reason:
                reason += "; write the file as UTF-8"
            raise DataError(
                f"{place} cannot be read as {source.format} ({reason}): check that {path} is whole, or write it again"
            ) from None


def _parquet_batches(path: Path, place: str, columns: Mapping[str, pa.DataType] | None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        wanted = _wanted(file.schema_arrow.names, place, columns)
        count = 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
            count += 1
            yield batch.select(wanted)
        if not count:
            yield from file.schema_arrow.empty_table().select(wanted).to_batches() or [
                pa.RecordBatch.from_pylist([], schema=pa.schema([file.schema_arrow.field(name) for name in wanted]))
            ]


def _csv_batches(
    path: Path, place: str, columns: Mapping[str, pa.DataType] | None, source: SourceSpec
) -> Iterator[pa.RecordBatch]:
    names = csv_names(path, place, separator=source.separator, quote=source.quote)
    wanted = {name: columns[name] if columns is not None else pa.string() for name in _wanted(names, place, columns)}
    yield from csv_batches(path, place, wanted=wanted, separator=source.separator, quote=source.quote)


def _duckdb_batches(
    path: Path, place: str, columns: Mapping[str, pa.DataType] | None, table: str
) -> Iterator[pa.RecordBatch]:
    with connect(path) as connection:
        listed = connection.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_name = ? AND table_schema = current_schema() ORDER BY ordinal_position",
            [table],
        ).fetchall()
        if not listed:
            tables = connection.execute("SELECT table_name FROM information_schema.tables ORDER BY 1").fetchall()
            has = ", ".join(repr(row[0]) for row in tables) or "none"
            raise DataError(f"{place} has no table {table!r}: its tables are {has}")
        wanted = _wanted([row[0] for row in listed], place, columns)
        names = ", ".join(quote_identifier(column) for column in wanted)
        reader = connection.execute(f"SELECT {names} FROM {quote_identifier(table)}").to_arrow_reader(_BATCH_ROWS)
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader


def _wanted(names: list[str], place: str, columns: Mapping[str, pa.DataType] | None) -> list[str]:
    """The wanted columns, each of which the source has exactly once."""
    for name in columns if columns is not None else names:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise DataError(f"{place} has no column {name!r}, it has {', '.join(map(repr, names))}{hint}")
        if names.count(name) > 1:
            raise DataError(f"{place} has the column {name!r} twice: rename one of them")
    return list(columns if columns is not None else names)


def table_files(folder: Path) -> list[Path]:
    """The Parquet files of an offline table, in the order in which they came."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
