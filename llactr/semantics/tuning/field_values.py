"""The distinct values of each field, as texts that a language model can read, from training rows only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llactr.columns import EVENT_TIMESTAMP
from llactr.errors import DataError
from llactr.spec import DatasetSpec, Field, MultiValuedField, NumericField, TimestampPartField

__all__ = ["distinct_field_values", "value_text"]

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def value_text(field: Field, value: str) -> str:
    """How a value of a field is put to a language model: weekdays and months by name, all else as it stands.

    Args:
        field: the field.
        value: the value as text; of a weekday its number from Monday, `0`, of a month its number, from January, `1`.
            (Vocabularies hold the names already.)
    """
    if isinstance(field, TimestampPartField) and field.part == "weekday":
        return _WEEKDAYS[int(value)]
    if isinstance(field, TimestampPartField) and field.part == "month":
        return _MONTHS[int(value) - 1]
    return value


def distinct_field_values(
    spec: DatasetSpec,
    events: pa.Table,
    *,
    entities: Mapping[str, pa.Table] | None = None,
    limit: int = 20_000,
    seed: int = 0,
) -> dict[str, tuple[str, ...]]:
    """Distinct value texts of every field, in the spec's order of fields, each sorted.

    A field's column is looked for in `events` by the field's name (or its join key's name), then in its owner's table;
    there, only rows of keys that occur in `events` and that were known by the last event count. So with training events
    nothing but training values is seen.

    Args:
        spec: the dataset's spec.
        events: raw training rows.
        entities: raw tables by owner, `user` and `item`, for fields that `events` lacks.
        limit: most values of a field; a larger field is sampled, and keeps the values sampled for other fields too, so
            that which fields a value occurs in stays right.
        seed: of that sample.

    Returns:
        field name -> value texts; empty where a column holds only nulls.

    Raises:
        DataError: there are no rows, or a field's column is nowhere.
    """
    if events.num_rows == 0:
        raise DataError("there are no training rows to take field values from: run 'llactr ingest' with data")
    tables = {owner: _known(spec, owner, table, events) for owner, table in (entities or {}).items()}
    distinct = {field.name: _texts(field, _column(spec, field, events, tables)) for field in spec.fields}
    rng = np.random.default_rng(seed)
    sampled = set()
    for values in distinct.values():
        if len(values) > limit:
            chosen = np.sort(rng.choice(len(values), size=limit, replace=False))
            sampled.update(values.take(pa.array(chosen)).to_pylist())
        else:
            sampled.update(values.to_pylist())
    if any(len(values) > limit for values in distinct.values()):
        kept = pa.array(sorted(sampled), pa.string())
        distinct = {
            name: values.filter(pc.is_in(values, value_set=kept)) if len(values) > limit else values
            for name, values in distinct.items()
        }
    return {name: tuple(values.to_pylist()) for name, values in distinct.items()}


def _known(spec: DatasetSpec, owner: str, table: pa.Table, events: pa.Table) -> pa.Table:
    key = spec.entities[owner].join_key
    seen = pc.is_in(table[key], value_set=pc.unique(events[key]))
    if EVENT_TIMESTAMP in table.column_names and EVENT_TIMESTAMP in events.column_names:
        seen = pc.and_(seen, pc.less_equal(table[EVENT_TIMESTAMP], pc.max(events[EVENT_TIMESTAMP])))
    return table.filter(seen)


def _column(spec: DatasetSpec, field: Field, events: pa.Table, tables: Mapping[str, pa.Table]) -> pa.ChunkedArray:
    if field.name in events.column_names:
        return events[field.name]
    if field.owner == "context":
        if isinstance(field, TimestampPartField) and field.source_column is None:
            return events[EVENT_TIMESTAMP]
    else:
        key = spec.entities[field.owner].join_key
        if field.column == key and key in events.column_names:
            return events[key]
        if field.owner in tables and field.name in tables[field.owner].column_names:
            return tables[field.owner][field.name]
    raise DataError(f"the training rows have no column for field {field.name!r}: they have {events.column_names}, "
                    "run 'llactr ingest' again")  # fmt: skip


def _texts(field: Field, column: pa.ChunkedArray) -> pa.Array:
    """Sorted distinct texts of a raw column, without nulls and empty texts."""
    values = pc.unique(column.drop_null())
    if isinstance(field, TimestampPartField):
        part = {"hour": pc.hour, "weekday": pc.day_of_week, "month": pc.month, "day": pc.day}[field.part]
        numbers = pc.unique(part(values)).to_pylist()
        values = pa.array([value_text(field, str(number)) for number in numbers], pa.string())
    elif isinstance(field, NumericField):
        finite = values.filter(pc.is_finite(values)).to_pylist()
        values = pa.array([f"{number:.6g}" for number in finite], pa.string())
    elif isinstance(field, MultiValuedField):
        values = pc.list_flatten(pc.split_pattern(values, field.separator))
    values = pc.unique(pc.utf8_trim_whitespace(values.cast(pa.string())))
    values = values.filter(pc.greater(pc.utf8_length(values), 0))
    return values.take(pc.sort_indices(values))
