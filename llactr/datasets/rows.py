"""Rows to score, from a file or from JSON, in the spelling that ingest gives them.

What ingest reads from a source and what is scored meet in `llactr.transforms`: text of a CSV file stays text, a JSON
value is spelled as a column of it is, a key that a row lacks is null in that row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.datasets.csv_source import csv_batches, csv_names
from llactr.errors import DataError, InputError
from llactr.spec import DatasetSpec, Field, NumericField, TimestampPartField
from llactr.transforms import admit, admit_key, raw_column, raw_type, scalar_text

__all__ = [
    "context_fields", "csv_rows", "file_kind", "read_rows", "request_columns", "request_table", "rows_of_objects",
    "whole_columns", "whole_table",
]  # fmt: skip

_EXPECTED = "expected .json, .jsonl, .csv (plain or .gz) or .parquet"


def read_rows(spec: DatasetSpec, rows: Sequence[str], file: Path | None) -> pa.Table:
    """Rows to score: JSON objects, or a file of them (.json, .jsonl, .csv, .csv.gz, .parquet).

    Returns:
        the columns that were given, as `request_table` takes them.

    Raises:
        InputError: neither or both are given.
        DataError: they cannot be read.
    """
    if bool(rows) == (file is not None):
        raise InputError("give the rows to score: a file, or --row '{...}'")
    if file is None:
        return rows_of_objects(spec, [_parsed(text, f"--row {number}") for number, text in enumerate(rows, 1)], "--row")
    if not file.is_file():
        raise DataError(f"no file {file}: give a .json, .jsonl, .csv or .parquet file of rows")
    kind = file_kind(file)
    try:
        if kind == ".parquet":
            return pq.read_table(file, partitioning=None)
        if kind == ".csv":
            return pa.Table.from_batches(list(csv_rows(spec, file)))
        if kind not in {".json", ".jsonl"} or file.suffix != kind:
            raise DataError(f"{file} has the ending {file.suffix!r}: {_EXPECTED}")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"the rows in {file} cannot be read: {str(error).splitlines()[0]}") from None
    if kind == ".jsonl":
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        return rows_of_objects(spec, [_parsed(line, f"{file} line {number}") for number, line in lines], str(file))
    content = _parsed(text, str(file))
    return rows_of_objects(spec, content if isinstance(content, list) else [content], str(file))


def file_kind(file: Path) -> str:
    """A file's ending below that of a compression: `.csv` for `rows.csv.gz`; empty for none."""
    kinds = [ending for ending in file.suffixes if ending not in {".gz", ".zst", ".bz2"}]
    return kinds[-1] if kinds else ""


def request_table(rows: pa.Table, spec: DatasetSpec) -> pa.Table:
    """Rows as the online reader takes them: join keys, context fields, and `event_timestamp`, now where not given.

    Returns:
        keys and categories as text, numbers as float64, times as timestamp[us, UTC].

    Raises:
        DataError: a join key or context field is missing, a column is none of them, or a value cannot be read.
    """
    keys = [entity.join_key for entity in spec.entities.values()]
    fields = context_fields(spec)
    wanted = request_columns(spec)
    missing = [name for name in wanted if name not in rows.column_names]
    if missing:
        raise DataError(
            f"the rows have no {missing[0]!r}: expected {', '.join(wanted)}, and event_timestamp if not now"
        )
    unknown = [name for name in rows.column_names if name not in {*wanted, EVENT_TIMESTAMP}]
    if unknown:
        raise DataError(
            f"the rows have a column {unknown[0]!r}, which is not asked for: features of users and items come from the "
            f"online store, give only {', '.join(wanted)} and event_timestamp"
        )
    twice = [name for name in rows.column_names if rows.column_names.count(name) > 1]
    if twice:
        raise DataError(f"the rows have the column {twice[0]!r} twice: rename one of them")
    columns = {key: _whole_key(rows[key], key) for key in keys}
    columns |= {name: admit(rows[name], field) for name, field in fields.items() if name not in columns}
    columns[EVENT_TIMESTAMP] = _moments(rows)
    return pa.table(columns)


def request_columns(spec: DatasetSpec) -> tuple[str, ...]:
    """What a row to score by a store needs: join keys and context fields; `event_timestamp` may be given besides."""
    return tuple(dict.fromkeys([*(entity.join_key for entity in spec.entities.values()), *context_fields(spec)]))


def whole_columns(spec: DatasetSpec) -> tuple[str, ...]:
    """What a row to score without a store needs: every field's column."""
    return tuple(dict.fromkeys(raw_column(field) for field in spec.fields))


def whole_table(rows: pa.Table, spec: DatasetSpec) -> pa.Table:
    """Rows that hold all fields themselves, each in its raw type; `event_timestamp` is now where it is not given.

    Raises:
        DataError: a field's column is missing, or a value cannot be read.
    """
    missing = [name for name in whole_columns(spec) if name not in {*rows.column_names, EVENT_TIMESTAMP}]
    if missing:
        raise DataError(f"the rows have no {missing[0]!r}: expected {', '.join(whole_columns(spec))}")
    columns = {raw_column(f): admit(rows[raw_column(f)], f) for f in spec.fields if raw_column(f) != EVENT_TIMESTAMP}
    return pa.table({**columns, EVENT_TIMESTAMP: _moments(rows)})


def context_fields(spec: DatasetSpec) -> dict[str, Field]:
    """Column -> the field that reads it, of those that a request gives."""
    return {raw_column(f): f for f in spec.owned_by("context") if raw_column(f) != EVENT_TIMESTAMP}


def _whole_key(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    keys = admit_key(column, name)
    if keys.null_count:
        row = pc.index(keys.is_null(), True).as_py() + 1
        raise DataError(f"row {row} has no {name!r}, which is a join key: give it, or leave the row out")
    return keys


def csv_rows(spec: DatasetSpec, file: Path) -> Iterator[pa.RecordBatch]:
    """A CSV file's cells, as ingest reads them: text, but numbers for numeric fields; at least one batch.

    Raises:
        DataError: the file is of another format, or has a column twice, or a cell that does not fit its column.
        pyarrow.ArrowException: it cannot be read as CSV.
    """
    place = f"the file of rows {file.name}"
    fields = context_fields(spec)
    names = csv_names(file, place)
    wanted = {name: pa.float64() if isinstance(fields.get(name), NumericField) else pa.string() for name in names}
    if len(wanted) < len(names):
        raise DataError(f"{place} has a column twice: its columns are {', '.join(map(repr, names))}")
    yield from csv_batches(file, place, wanted=wanted)


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f'{place} is not JSON ({error}): expected an object such as {{"user_id": "1"}}') from None


def rows_of_objects(spec: DatasetSpec, rows: list[Any], place: str, *, whole: bool = False) -> pa.Table:
    """JSON objects as a table: all keys that any of them has; a key that a row lacks is null there.

    Args:
        spec: the dataset's.
        rows: at least one.
        place: where they come from, for messages.
        whole: they hold all fields, not the context's alone.

    Raises:
        DataError: there are none, or a value cannot be read.
    """
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{place} holds no rows: expected JSON objects, one key a column")
    fields = {raw_column(field): field for field in spec.fields} if whole else context_fields(spec)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        field = fields.get(name)
        spelled = [
            _value(row.get(name), field, f"{place} row {number}: {name!r}") for number, row in enumerate(rows, 1)
        ]
        columns[name] = pa.array(spelled, raw_type(field) if isinstance(field, NumericField) else pa.string())
    return pa.table(columns)


def _value(value: Any, field: Field | None, place: str) -> str | float | None:
    """A JSON value as the text or, for a numeric field, the number that it is."""
    if isinstance(value, datetime):  # of Python; JSON has none
        value = value.isoformat()
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise DataError(f"{place} is {json.dumps(value, ensure_ascii=False)[:60]}, expected one text or number")
    if isinstance(field, NumericField):
        if isinstance(value, str):
            raise DataError(f"{place} is the text {value[:60]!r}, expected a number: write it without quotes")
        try:
            return float(value)
        except OverflowError:
            raise DataError(f"{place} is a number past 1.8e308, expected one that a float64 holds") from None
    if isinstance(value, float) and not np.isfinite(value):
        return None if value != value else scalar_text(value)
    if isinstance(field, TimestampPartField) and not isinstance(value, str):
        raise DataError(f"{place} is {value!r}, expected a time with a zone such as 1998-04-20T12:00:00+00:00")
    return scalar_text(value)


def _moments(rows: pa.Table) -> pa.ChunkedArray:
    """When each row's request happens; now where that is not given."""
    now = datetime.now(UTC)
    if EVENT_TIMESTAMP not in rows.column_names:
        return pa.chunked_array([pa.array([now] * rows.num_rows, TIMESTAMP)])
    column = rows[EVENT_TIMESTAMP]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        column = column.cast(TIMESTAMP)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pa.chunked_array([pa.array([_moment(text) for text in column.to_pylist()], TIMESTAMP)])
    elif not (pa.types.is_timestamp(column.type) and column.type.tz):
        raise DataError(f"event_timestamp has type {column.type}, expected timestamps with a zone")
    else:
        column = column.cast(TIMESTAMP, safe=False)
    return column.fill_null(pa.scalar(now, TIMESTAMP))


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise DataError(f"event_timestamp {text!r} is no time with a zone: give one such as 1998-04-20T12:00:00+00:00")
    return moment
