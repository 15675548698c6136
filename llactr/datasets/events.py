"""Normalises a source's rows: events with their label, and entities with their features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, LABEL, LABEL_TYPE, TIMESTAMP
from llactr.datasets.csv_source import cell_numbers
from llactr.datasets.sources import source_batches
from llactr.errors import DataError
from llactr.spec import DatasetSpec, EntityOwner, EntitySpec, Field, LabelRule, NumericField, SourceSpec, TimestampSpec
from llactr.transforms import admit, admit_key, raw_column, raw_type, scalar_text, utc_timestamps
from llactr.transforms.spelling import numbers

__all__ = ["EventReader", "apply_label_rule", "entity_fields", "event_schema", "read_entities"]


def event_schema(spec: DatasetSpec) -> pa.Schema:
    """The events table: the join keys, event_timestamp, label, and the context fields that have a column."""
    columns = {entity.join_key: pa.string() for entity in spec.entities.values()}
    columns |= {EVENT_TIMESTAMP: TIMESTAMP, LABEL: LABEL_TYPE}
    return pa.schema({**columns, **{f.name: raw_type(f) for f in _context_fields(spec)}})


def entity_fields(spec: DatasetSpec, owner: EntityOwner) -> tuple[Field, ...]:
    """An entity's fields that are columns of its table; one that reads the join key is none."""
    key = spec.entities[owner].join_key
    return tuple(f for f in spec.owned_by(owner) if f.column != key)


@dataclass
class EventReader:
    """Reads the events of a spec batch by batch, and counts what it leaves out.

    Attributes:
        row_count: rows read so far.
        dropped: of these, rows that the label rule drops.
    """

    spec: DatasetSpec
    folder: Path
    row_count: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)

    def batches(self) -> Iterator[pa.Table]:
        """Normalised rows in the order of the source, with the columns of `event_schema`.

        Raises:
            DataError: the source is missing, lacks a column, or holds a value that the spec does not allow.
        """
        spec, schema = self.spec, event_schema(self.spec)
        keys = [entity.join_key for entity in spec.entities.values()]
        source = spec.sources[spec.events]
        label_type = pa.float64() if spec.label.equals is None else pa.string()
        columns = _csv_types(
            [(name, pa.string()) for name in (*keys, spec.timestamp.column)]
            + [(f.column, csv_type(f)) for f in _context_fields(spec)]
            + [(spec.label.column, label_type)]
        )
        for batch in source_batches(source, spec.events, self.folder, columns):
            table = pa.Table.from_batches([batch])
            self.row_count += len(table)
            label, keep = apply_label_rule(table.column(spec.label.column), spec.label)
            found = {key: _whole_key(table.column(key), key, spec.events) for key in keys}
            found[EVENT_TIMESTAMP] = utc_timestamps(table.column(spec.timestamp.column), spec.timestamp)
            _refuse_null_times(found[EVENT_TIMESTAMP], spec.timestamp.column, spec.events)
            found[LABEL] = label
            for context in _context_fields(spec):
                found[context.name] = _field_column(table, context, source, spec.timestamp)
            rows = pa.table([found[name] for name in schema.names], schema=schema)
            if keep is not None:
                rows = rows.filter(keep)
                self.dropped += len(table) - len(rows)
            yield rows


def apply_label_rule(column: pa.ChunkedArray, rule: LabelRule) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    """Labels (float32, 0 or 1), and which rows to keep (None: all of them).

    Raises:
        DataError: the column holds a null; or no numbers, where the rule compares numbers; or, without `above` and
            `equals`, anything but 0 and 1.
    """
    if rule.equals is not None:
        return _equal_labels(column, rule.equals, rule)
    kind = column.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        raise DataError(
            f"label column {rule.column!r} has type {kind}, expected numbers or booleans: give them, or say in the "
            "spec's label rule which value is a click ('equals')"
        )
    values = numbers(column, f"label column {rule.column!r}")
    _refuse_missing(values, rule)
    label = values if rule.above is None else pc.greater(values, rule.above).cast(pa.float64())
    keep = None
    if rule.drop:
        keep = pc.invert(pc.is_in(values, pa.array(rule.drop, pa.float64())))
        values = values.filter(keep)
    distinct = pc.unique(values).to_pylist()
    if rule.above is None and not set(distinct) <= {0.0, 1.0}:
        others = sorted(set(distinct) - {0.0, 1.0})
        raise DataError(
            f"label column {rule.column!r} is not binary, it holds {', '.join(f'{v:g}' for v in others[:5])}: "
            "give 'above' in the spec's label rule, or list values to leave out in 'drop'"
        )
    return label.cast(LABEL_TYPE), keep


def _equal_labels(
    column: pa.ChunkedArray, wanted: bool | int | float | str, rule: LabelRule
) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    texts = admit_key(column, rule.column)
    _refuse_missing(texts, rule)
    dropped = [scalar_text(value) for value in rule.drop]
    keep = pc.invert(pc.is_in(texts, pa.array(dropped, pa.string()))) if dropped else None
    return pc.equal(texts, scalar_text(wanted)).cast(LABEL_TYPE), keep


def _refuse_missing(values: pa.ChunkedArray, rule: LabelRule) -> None:
    if values.null_count:
        raise DataError(
            f"label column {rule.column!r} has no value in {values.null_count} rows: fill them in or leave them out"
        )


def read_entities(
    spec: DatasetSpec, owner: EntityOwner, folder: Path, *, static_time: datetime, written: datetime | None = None
) -> pa.Table:
    """An entity's normalised rows: join key, features, event_timestamp, created_timestamp.

    Args:
        spec: the dataset's spec.
        owner: `user` or `item`, whose entity has a source.
        folder: the data folder.
        static_time: the event timestamp of an entity without timestamps.
        written: created timestamp of rows that do not say it themselves; by default their event timestamp.

    Raises:
        DataError: the source is missing, empty, lacks a column, or has several different rows of a key for one time.
    """
    entity = spec.entities[owner]
    fields = entity_fields(spec, owner)
    times = [time for time in (entity.timestamp, entity.created) if time is not None]
    columns = _csv_types(
        [(name, pa.string()) for name in (entity.join_key, *(time.column for time in times))]
        + [(f.column, csv_type(f)) for f in fields]
    )
    parts = []
    source = entity.source or ""
    for batch in source_batches(spec.sources[source], source, folder, columns):
        table = pa.Table.from_batches([batch])
        found = {entity.join_key: _whole_key(table.column(entity.join_key), entity.join_key, source)}
        for entity_field in fields:
            found[entity_field.name] = _field_column(table, entity_field, spec.sources[source], *times)
        found[EVENT_TIMESTAMP] = _times(table, entity.timestamp, source, static_time)
        created = entity.created or (entity.timestamp if written is None else None)
        found[CREATED_TIMESTAMP] = _times(table, created, source, written or static_time)
        parts.append(pa.table(found))
    rows = pa.concat_tables(parts)
    if not len(rows):
        raise DataError(f"source {source!r} has no rows: an entity's table needs at least one")
    return _distinct_rows(rows, entity, source)


def csv_type(field: Field) -> pa.DataType:
    """What a CSV file's text of a field is read as."""
    return pa.float64() if isinstance(field, NumericField) else pa.string()


def _csv_types(columns: list[tuple[str, pa.DataType]]) -> dict[str, pa.DataType]:
    """What each column of a CSV file is read as: text where one of those who read it wants text."""
    types: dict[str, pa.DataType] = {}
    for name, kind in columns:
        types[name] = kind if types.get(name, kind) == kind else pa.string()
    return types


def _context_fields(spec: DatasetSpec) -> list[Field]:
    return [f for f in spec.owned_by("context") if raw_column(f) != EVENT_TIMESTAMP]


def _field_column(table: pa.Table, field: Field, source: SourceSpec, *times: TimestampSpec) -> pa.ChunkedArray:
    """The field's raw values. A part of a timestamp that the spec describes is read as it says there."""
    column = table.column(field.column)
    if isinstance(field, NumericField) and source.format == "csv" and pa.types.is_string(column.type):
        column = cell_numbers(column, field.column, f"field {field.name!r}")
    for time in times:
        if time.column == field.column and raw_type(field) == TIMESTAMP:
            column = utc_timestamps(column, time)
    return admit(column, field)


def _whole_key(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    keys = admit_key(column, name)
    if keys.null_count:
        raise DataError(
            f"source {source!r}: column {name!r} has no value in {keys.null_count} rows, and it is a join key"
        )
    return keys


def _times(table: pa.Table, spec: TimestampSpec | None, source: str, otherwise: datetime) -> pa.ChunkedArray:
    if spec is None:
        micros = np.full(len(table), int(np.datetime64(otherwise.replace(tzinfo=None), "us").astype(np.int64)))
        return pa.chunked_array([pa.array(micros).view(TIMESTAMP)])
    times = utc_timestamps(table.column(spec.column), spec)
    _refuse_null_times(times, spec.column, source)
    return times


def _refuse_null_times(times: pa.ChunkedArray, column: str, source: str) -> None:
    if times.null_count:
        raise DataError(f"source {source!r}: timestamp column {column!r} has no value in {times.null_count} rows")


def _distinct_rows(rows: pa.Table, entity: EntitySpec, source: str) -> pa.Table:
    """The rows without exact repetitions; two different rows of one key and time are refused."""
    key = entity.join_key
    identity = [key] if entity.timestamp is None else [key, EVENT_TIMESTAMP, CREATED_TIMESTAMP]
    rows = rows.group_by(rows.column_names, use_threads=False).aggregate([])
    counts = rows.group_by(identity).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts.column("count_all"), 1))
    if len(twice):
        example = sorted(twice.column(key).to_pylist())[0]
        advice = (
            "keep one row per key, or give the entity a 'timestamp' in the spec"
            if entity.timestamp is None
            else "give the entity a 'created' column in the spec, which says which row was written last"
        )
        raise DataError(f"source {source!r} has several rows for {key} {example!r} at one time: {advice}")
    return rows.sort_by([(name, "ascending") for name in (key, EVENT_TIMESTAMP, CREATED_TIMESTAMP)])
