"""Rows to score: read from JSON, CSV or Parquet, and brought into the form that the online reader takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.errors import DataError, InputError
from llactr.spec import DatasetSpec
from llactr.transforms import raw_column

__all__ = ["read_rows", "request_table"]


def read_rows(rows: Sequence[str], file: Path | None) -> pa.Table:
    """Rows to score: JSON objects, or a file of them (.json, .jsonl, .csv, .parquet).

    Raises:
        InputError: neither or both are given.
        DataError: they cannot be read.
    """
    if bool(rows) == (file is not None):
        raise InputError("give the rows to score, either by --row '{...}' or by --file, or give --check N")
    if file is None:
        return _table([_parsed(text, f"--row {number}") for number, text in enumerate(rows, 1)], "--row")
    if not file.is_file():
        raise DataError(f"no file {file}: give a .json, .jsonl, .csv or .parquet file of rows")
    try:
        if file.suffix == ".parquet":
            return pa.parquet.read_table(file)
        if file.suffix == ".csv":
            return pa.csv.read_csv(file)
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"the rows in {file} cannot be read: {str(error).splitlines()[0]}") from None
    if file.suffix == ".jsonl":
        lines = [line for line in text.splitlines() if line.strip()]
        return _table([_parsed(line, f"{file} line {number}") for number, line in enumerate(lines, 1)], str(file))
    if file.suffix != ".json":
        raise DataError(f"{file} has the ending {file.suffix!r}: expected .json, .jsonl, .csv or .parquet")
    content = _parsed(text, str(file))
    return _table(content if isinstance(content, list) else [content], str(file))


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f'{place} is not JSON ({error}): expected an object such as {{"user_id": "1"}}') from None


def _table(rows: list[Any], place: str) -> pa.Table:
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{place} holds no rows: expected JSON objects, one key a column")
    try:
        return pa.Table.from_pylist(rows)
    except pa.ArrowException as error:
        raise DataError(f"the rows of {place} do not have one type a column: {str(error).splitlines()[0]}") from None


def request_table(rows: pa.Table, spec: DatasetSpec) -> pa.Table:
    """Rows as the online reader takes them: join keys, context fields, and `event_timestamp`, now unless given.

    Raises:
        DataError: a join key or context field is missing, or a column is none of them.
    """
    wanted = [entity.join_key for entity in spec.entities.values()]
    wanted += [name for name in (raw_column(field) for field in spec.owned_by("context")) if name != EVENT_TIMESTAMP]
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
    if EVENT_TIMESTAMP in rows.column_names:
        column = rows[EVENT_TIMESTAMP]
        if pa.types.is_string(column.type):
            column = pa.chunked_array([_moments(column.to_pylist())])
            rows = rows.set_column(rows.column_names.index(EVENT_TIMESTAMP), EVENT_TIMESTAMP, column)
        return rows
    now = pa.array([datetime.now(UTC)] * rows.num_rows, TIMESTAMP)
    return rows.append_column(EVENT_TIMESTAMP, now)


def _moments(texts: list[str | None]) -> pa.Array:
    moments = []
    for text in texts:
        try:
            moment = datetime.fromisoformat(text or "")
        except ValueError:
            moment = datetime.min
        if moment.tzinfo is None:
            raise DataError(
                f"event_timestamp {text!r} is no time with a zone: give one such as 1998-04-20T12:00:00+00:00"
            )
        moments.append(moment)
    return pa.array(moments, TIMESTAMP)
