"""The type that a raw value has after ingest, whatever type the source or the request gave it.

Ingest and the online path both normalise with these functions, so that a value has one spelling everywhere: the
integer 25, the float 25.0 and the text "25" are the same category. `llactr.transforms.spelling` has the rules.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.errors import DataError
from llactr.spec import DatasetSpec, Field, MultiValuedField, NumericField, TimestampPartField, TimestampSpec
from llactr.transforms.spelling import MAX_EXACT, MAX_EXACT_FLOAT32, numbers, text, without_empty
from llactr.transforms.timestamps import utc_timestamps

__all__ = [
    "admit",
    "admit_key",
    "chunked",
    "column_of",
    "normalize",
    "normalize_key",
    "normalize_table",
    "raw_column",
    "raw_type",
]


def raw_type(field: Field) -> pa.DataType:
    """The Arrow type of a field's raw values: string, float64 (numeric) or timestamp[us, UTC] (timestamp part)."""
    if isinstance(field, NumericField):
        return pa.float64()
    return TIMESTAMP if isinstance(field, TimestampPartField) else pa.string()


def raw_column(field: Field) -> str:
    """The raw table's column that a field reads: its name, or the event timestamp for a part of that."""
    from_event = field.owner == "context" and field.source_column is None and field.feature is None
    if isinstance(field, TimestampPartField) and from_event:
        return EVENT_TIMESTAMP
    return field.name


def normalize_table(spec: DatasetSpec, table: pa.Table) -> pa.Table:
    """A table's columns that fields read, normalised; its other columns as they are.

    Raises:
        DataError: a field's column is missing or has a type that the field's kind cannot be read from.
    """
    for field in spec.fields:
        name = raw_column(field)
        column = column_of(table, name, f"field {field.name!r}")
        if column.type != raw_type(field) or isinstance(field, NumericField):
            table = table.set_column(table.schema.get_field_index(name), name, normalize(column, field))
    return table


def column_of(table: pa.Table, name: str, reader: str) -> pa.ChunkedArray:
    """A table's one column of that name; DataError names the reader and what the table has."""
    found = table.schema.get_all_field_indices(name)
    if len(found) != 1:
        has = ", ".join(repr(column) for column in table.column_names) or "no columns"
        problem = "the table has twice" if found else "the table does not have"
        raise DataError(f"{reader} reads column {name!r}, which {problem}: it has {has}")
    return table.column(found[0])


def normalize(column: pa.ChunkedArray | pa.Array, field: Field) -> pa.ChunkedArray:
    """A column in the raw type of its field. Costs nothing for a column that has it already.

    Categories become text (see `normalize_key`), numbers float64 with NaN as null, timestamps UTC microseconds.

    Raises:
        DataError: the field's kind cannot be read from the column's type.
    """
    column = chunked(column)
    place = f"field {field.name!r}" + (f" (column {field.column!r})" if field.column != field.name else "")
    if isinstance(field, NumericField):
        return numbers(column, place)
    if isinstance(field, TimestampPartField):
        if pa.types.is_date(column.type):  # the parts of a date are the same in every zone
            column = column.cast(pa.timestamp("ms")).cast(pa.timestamp("ms", "UTC"))
        return utc_timestamps(column, TimestampSpec(column=field.column))
    if isinstance(field, MultiValuedField) and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise DataError(f"{place} has type {column.type}, expected text with the values joined by {field.separator!r}")
    return text(column, place)


def normalize_key(column: pa.ChunkedArray | pa.Array, name: str) -> pa.ChunkedArray:
    """A join key or category as text: 25 and 25.0 -> "25", true -> "true", NaN -> null, text as it is.

    Raises:
        DataError: the type holds more than one value, or bytes.
    """
    return text(chunked(column), f"column {name!r}")


def admit(column: pa.ChunkedArray | pa.Array, field: Field) -> pa.ChunkedArray:
    """`normalize` for what comes from outside, a source or a row to score: an empty text is no value there.

    Raises:
        DataError: as for `normalize`.
    """
    return without_empty(normalize(column, field))


def admit_key(column: pa.ChunkedArray | pa.Array, name: str) -> pa.ChunkedArray:
    """`normalize_key` for what comes from outside; see `admit`.

    Raises:
        DataError: as for `normalize_key`; or floats so large that neighbouring whole numbers have one spelling.
    """
    column = chunked(column)
    if pa.types.is_floating(column.type):
        largest = pc.max(pc.abs(column.cast(pa.float64()))).as_py()
        limit = MAX_EXACT if column.type == pa.float64() else MAX_EXACT_FLOAT32
        if largest is not None and largest > limit:
            raise DataError(
                f"column {name!r} holds keys as {column.type}, which past {limit:.0f} no longer tells whole numbers "
                f"apart, such as {largest:.0f}: write the column as integers or text"
            )
    return without_empty(normalize_key(column, name))


def chunked(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    """The column as a chunked array."""
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
