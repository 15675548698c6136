"""What the offline tables hold, in figures: the data card."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from llactr.columns import EVENT_TIMESTAMP, LABEL
from llactr.datasets.cautions import UnmatchedKeys, odd_periods, odd_values, unmatched_keys
from llactr.spec import DatasetSpec, Field, MultiValuedField, TimestampPartField
from llactr.sql import connect, parquet_scan, quote_identifier
from llactr.steps import StepResult
from llactr.transforms import FIRST, fit_vocabulary, raw_column, split_values

__all__ = ["FieldSummary", "IngestSummary", "summarize"]

_EXAMPLES = 5


class FieldSummary(BaseModel):
    """A field's column: `rows` are users, items or events, according to its owner.

    `examples` are the most frequent values. Features of your own Feast repository are not among them.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    owner: str
    kind: str
    description: str
    rows: int
    nulls: int
    distinct: int
    examples: tuple[str, ...]


class IngestSummary(StepResult):
    """What was ingested.

    Attributes:
        rows: events in the offline table; `dropped` more were left out by the label rule.
        users: distinct users among the events, likewise `items`; None without such an entity.
        unmatched: events whose user or item has no row in its table (its features are then null).
        positives: share of events with label 1.
        start: first event, `end` the last, UTC.
        new_rows: rows that this ingest added, per table.
        inputs: sha256 of each source file, by its path.
        unmatched_keys: of each entity whose table more than a twentieth of the events find no row in, which and why.
        warnings: sentences about what a person should look at.
    """

    dataset: str
    rows: int
    dropped: int
    users: int | None
    items: int | None
    unmatched: dict[str, int]
    positives: float
    start: datetime
    end: datetime
    fields: tuple[FieldSummary, ...]
    new_rows: dict[str, int]
    inputs: dict[str, str]
    unmatched_keys: dict[str, UnmatchedKeys] = Setting(default_factory=dict)
    warnings: tuple[str, ...] = ()


def summarize(
    spec: DatasetSpec, tables: dict[str, list[Path]], *, dropped: int, new_rows: dict[str, int], inputs: dict[str, str]
) -> IngestSummary:
    """Counts over the offline tables' Parquet files, by DuckDB; nothing is held in memory but distinct values.

    Args:
        spec: the dataset's spec.
        tables: the files of `events`, `user` and `item`.
        dropped: events that were left out.
        new_rows: rows that were added, per table.
        inputs: sha256 of each source file.
    """
    events = parquet_scan(tables["events"])
    keys = {owner: quote_identifier(entity.join_key) for owner, entity in spec.entities.items()}
    with connect() as connection:
        rows, positives, start, end = _row(
            connection, f"SELECT count(*), avg({LABEL}), min({EVENT_TIMESTAMP}), max({EVENT_TIMESTAMP}) FROM {events}"
        )
        distinct = {o: _row(connection, f"SELECT count(DISTINCT {key}) FROM {events}")[0] for o, key in keys.items()}
        unmatched: dict[str, int] = {
            owner: _row(
                connection,
                f"SELECT count(*) FROM {events} ANTI JOIN {parquet_scan(tables[owner])} USING ({key})",
            )[0]
            for owner, key in keys.items()
            if owner in tables
        }
        fields = tuple(_field_summary(connection, spec, f, tables) for f in spec.fields if f.feature is None)
    lost = unmatched_keys(spec, tables)
    said = [one.sentence for one in lost.values()]
    return IngestSummary(
        dataset=spec.name,
        rows=rows,
        dropped=dropped,
        users=distinct.get("user"),
        items=distinct.get("item"),
        unmatched=unmatched,
        positives=positives,
        start=start,
        end=end,
        fields=fields,
        new_rows=new_rows,
        inputs=inputs,
        unmatched_keys=lost,
        warnings=(*said, *odd_periods(spec, tables), *odd_values(spec, tables)),
    )


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    # As Arrow: DuckDB's own conversion of zoned timestamps needs pytz.
    return tuple(column[0].as_py() for column in connection.execute(query).to_arrow_table().columns)


def _field_summary(
    connection: duckdb.DuckDBPyConnection, spec: DatasetSpec, field: Field, tables: dict[str, list[Path]]
) -> FieldSummary:
    entity = spec.entities.get(field.owner) if field.owner != "context" else None
    column, files = raw_column(field), tables["events"]
    if entity is not None:
        files = tables.get(field.owner, files)
        column = entity.join_key if field.column == entity.join_key else column
    rows, nulls, distinct, top = _column_summary(connection, field, quote_identifier(column), parquet_scan(files))
    return FieldSummary(
        name=field.name,
        owner=field.owner,
        kind=field.kind,
        description=field.description,
        rows=rows,
        nulls=nulls,
        distinct=distinct,
        examples=tuple(top),
    )


def _column_summary(
    connection: duckdb.DuckDBPyConnection, field: Field, column: str, scan: str
) -> tuple[int, int, int, list[str]]:
    """Rows, rows without value, distinct values, and the most frequent ones."""
    counts = f"SELECT {column} AS value, count(*) AS rows FROM {scan} GROUP BY ALL"
    if isinstance(field, TimestampPartField | MultiValuedField):
        return _part_summary(field, connection.execute(counts).to_arrow_table())
    rows, filled, distinct = _row(connection, f"SELECT count(*), count({column}), count(DISTINCT {column}) FROM {scan}")
    query = f"SELECT value FROM ({counts}) WHERE value IS NOT NULL ORDER BY rows DESC, value LIMIT {_EXAMPLES}"
    top = connection.execute(query).to_arrow_table().column("value").to_pylist()
    return rows, rows - filled, distinct, [f"{value:g}" if isinstance(value, float) else value for value in top]


def _part_summary(field: TimestampPartField | MultiValuedField, counts: pa.Table) -> tuple[int, int, int, list[str]]:
    """As `_column_summary`, of the hours of timestamps or of the single values in a multi-valued text."""
    column, weights = counts.column("value"), counts.column("rows").to_numpy()
    frequency: dict[str, int] = {}
    if isinstance(field, TimestampPartField):
        part = fit_vocabulary(field, column)
        ids = part.ids(column)[:, 0]
        weight_of = np.bincount(ids, weights=weights, minlength=part.size).astype(np.int64).tolist()
        nulls = sum(weight_of[:FIRST])
        frequency = {word: weight for word, weight in zip(part.values, weight_of[FIRST:], strict=True) if weight}
    else:
        nulls = 0
        for text, weight in zip(column.to_pylist(), weights.tolist(), strict=True):
            words = split_values(text, field.separator) if text is not None else []
            nulls += 0 if words else weight
            for word in words:
                frequency[word] = frequency.get(word, 0) + weight
    top = sorted(frequency, key=lambda word: (-frequency[word], word))[:_EXAMPLES]
    return int(weights.sum()), nulls, len(frequency), top
