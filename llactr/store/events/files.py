"""Events from a file: Parquet, CSV, JSON or JSON lines, a row an event."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from llactr.columns import EVENT_TIMESTAMP, LABEL
from llactr.datasets.rows import read_rows, request_table
from llactr.errors import DataError
from llactr.spec import DatasetSpec
from llactr.store.events.log import LoggedEvent
from llactr.transforms import raw_column

__all__ = ["read_events"]

_OUTCOME = "outcome"
_CLICKS = {"1", "1.0", "true"}
_NONE = {"0", "0.0", "false"}


def read_events(spec: DatasetSpec, file: Path) -> list[LoggedEvent]:
    """The events of a file, in its order.

    It has the join keys, `outcome` (or `label`: 0 or 1), `event_timestamp` with a zone, now where it is not given, and
    the context fields.

    Raises:
        DataError: the dataset has no users and items, a column is missing, or a value cannot be read.
    """
    if not {"user", "item"} <= set(spec.entities):
        raise DataError(f"dataset {spec.name!r} has no users and items, which an event is of")
    rows = read_rows(spec, [], file)
    named = [name for name in (_OUTCOME, LABEL) if name in rows.column_names]
    if len(named) != 1:
        raise DataError(f"{file} has {len(named)} columns of outcomes, expected one, 'outcome' or 'label', of 0 and 1")
    outcomes = _outcomes(rows[named[0]], file)
    fields = {raw_column(f): f for f in spec.owned_by("context") if raw_column(f) != EVENT_TIMESTAMP}
    rest = rows.drop_columns(named)
    for name in fields:
        if name not in rest.column_names:  # what an event does not say is null
            rest = rest.append_column(name, pa.nulls(rest.num_rows, pa.string()))
    table = request_table(rest, spec)
    users, items = (table[spec.entities[owner].join_key].to_pylist() for owner in ("user", "item"))
    times = table[EVENT_TIMESTAMP].cast(pa.int64()).to_pylist()
    contexts = [{} for _ in users] if not fields else _contexts(table.select(list(fields)))
    return [
        LoggedEvent(user, item, time, outcome, context or None)
        for user, item, time, outcome, context in zip(users, items, times, outcomes, contexts, strict=True)
    ]


def _contexts(table: pa.Table) -> list[dict[str, object]]:
    """Values that are there, by field; times in microseconds."""
    columns = {
        name: (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    rows = zip(*columns.values(), strict=True)
    return [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]


def _outcomes(column: pa.ChunkedArray, file: Path) -> list[float]:
    texts = pc.utf8_lower(column.cast(pa.string())).to_pylist()
    found = []
    for number, text in enumerate(texts, 1):
        if text not in _CLICKS | _NONE:
            raise DataError(f"{file} row {number} has the outcome {text!r}: expected 0 or 1")
        found.append(float(text in _CLICKS))
    return found
