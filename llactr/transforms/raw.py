"""The type that a raw value has after ingest, whatever type the source or the request gave it.

Ingest and the online path both normalise with these functions, so that a value has one spelling everywhere: the
integer 25, the float 25.0 and the text "25" are the same category.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.errors import DataError
from llactr.spec import DatasetSpec, Field, MultiValuedField, NumericField, TimestampPartField, TimestampSpec
from llactr.transforms.timestamps import utc_timestamps

__all__ = ["normalize", "normalize_key", "normalize_table", "raw_column", "raw_type"]

_MAX_EXACT = 2.0**53


def raw_type(field: Field) -> pa.DataType:
    """The Arrow type of a field's raw values: string, float64 (numeric) or timestamp[us, UTC] (timestamp part)."""
    if isinstance(field, NumericField):
        return pa.float64()
    return TIMESTAMP if isinstance(field, TimestampPartField) else pa.string()


def raw_column(field: Field) -> str:
    """The raw table's column that a field reads: its name, or the event timestamp for a part of that."""
    if isinstance(field, TimestampPartField) and field.owner == "context" and field.source_column is None:
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
        return _numbers(column, place)
    if isinstance(field, TimestampPartField):
        if pa.types.is_date(column.type):  # the parts of a date are the same in every zone
            column = column.cast(pa.timestamp("ms")).cast(pa.timestamp("ms", "UTC"))
        return utc_timestamps(column, TimestampSpec(column=field.column))
    if isinstance(field, MultiValuedField) and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise DataError(f"{place} has type {column.type}, expected text with the values joined by {field.separator!r}")
    return _text(column, place)


def normalize_key(column: pa.ChunkedArray | pa.Array, name: str) -> pa.ChunkedArray:
    """A join key or category as text: 25 and 25.0 -> "25", true -> "true", NaN -> null, text as it is.

    Raises:
        DataError: the type holds more than one value, or bytes.
    """
    return _text(chunked(column), f"column {name!r}")


def chunked(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    """The column as a chunked array."""
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _numbers(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _numbers(column.cast(kind.value_type), place)
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        raise DataError(
            f"{place} is numeric, but its values have type {kind}: give numbers, or make the field categorical"
        )
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    numbers = column.cast(pa.float64(), safe=False)
    if pa.types.is_floating(kind):
        nan = pc.is_nan(numbers)
        if pc.any(nan).as_py():
            numbers = pc.if_else(nan, pa.scalar(None, pa.float64()), numbers)
    return numbers


def _text(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_dictionary(kind):
        return _text(column.cast(kind.value_type), place)
    if pa.types.is_floating(kind):
        return _text_of_floats(column.cast(pa.float64()))
    if pa.types.is_decimal(kind):
        plain = pc.replace_substring_regex(column.cast(pa.string()), r"(\.\d*?)0+$", r"\1")
        return pc.replace_substring_regex(plain, r"\.$", "")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        raise DataError(f"{place} holds bytes ({kind}), expected text, numbers or booleans: decode it first")
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{place} has type {kind}, expected text, numbers or booleans") from None


def _text_of_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), _MAX_EXACT))
    as_integer = pc.if_else(whole, column, 0.0).cast(pa.int64()).cast(pa.string())
    return pc.if_else(whole, as_integer, column.cast(pa.string()))
