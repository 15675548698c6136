"""The one spelling of a value: whatever type brings it, the same value is the same text or the same number.

Every way in meets here: ingest and append (Parquet, CSV, DuckDB), rows given to `score`, and requests of the service.

- A category is text: 25, 25.0 and the decimal 25.00 are "25", true is "true". From outside, an empty text is no value,
  as an empty cell of a CSV file is none (`without_empty`).
- A number is a float64. A decimal becomes the float64 nearest to it (Arrow's own cast multiplies: decimal 14.62 becomes
  14.620000000000001). A float32 becomes the float64 of its shortest decimal: 14.62 stored as float32 is 14.62, as a
  request writes it, and not 14.619999885559082. Widened by a reader before it comes here, it is recognised by having no
  bit beyond float32's; whole numbers are left as they are.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from llactr.errors import DataError

__all__ = ["MAX_EXACT", "MAX_EXACT_FLOAT32", "numbers", "numbers_in_text", "scalar_text", "text", "without_empty"]

MAX_EXACT, MAX_EXACT_FLOAT32 = 2.0**53, 2.0**24
"""Past these a float64, a float32 does not hold every whole number."""
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"
_TRUE, _FALSE = pa.array(["true"]), pa.array(["false"])


def text(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """A column of categories or keys as text, null where there is no value.

    Args:
        column: text, integers, floats, decimals, booleans, dates, times, or a dictionary of these.
        place: which column it is, for messages.

    Raises:
        DataError: the type holds more than one value, or none that has one spelling.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return text(column.cast(kind.value_type), place)
    if pa.types.is_floating(kind):
        return _text_of_floats(numbers(column, place))
    if pa.types.is_decimal(kind):
        return _text_of_decimals(column)
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _text_of_moments(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        raise DataError(f"{place} holds bytes ({kind}), expected text, numbers or booleans: decode it first")
    if not pa.types.is_duration(kind):
        try:
            return column if pa.types.is_string(kind) else column.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    raise DataError(f"{place} has type {kind}, expected text, numbers or booleans")


def numbers(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """A column of numbers as float64, null for NaN.

    Args:
        column: integers, floats, decimals or booleans (1 and 0), or a dictionary of these.
        place: which column it is, for messages.

    Raises:
        DataError: the column holds something else, or float16, whose three digits no other type gives back.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return numbers(column.cast(kind.value_type), place)
    if pa.types.is_float16(kind):
        raise DataError(f"{place} has type halffloat, which holds three digits: write it as float or double")
    if pa.types.is_decimal(kind):
        return _shortest(column.cast(pa.string()).cast(pa.float64()))
    if pa.types.is_floating(kind):
        found = column.cast(pa.float64())
        nan = pc.is_nan(found)
        if pc.any(nan).as_py():
            found = pc.if_else(nan, pa.scalar(None, pa.float64()), found)
        return _shortest(found)
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise DataError(
            f"{place} is numeric, but its values have type {kind}: give numbers, or make the field categorical"
        )
    return column.cast(pa.float64(), safe=False)


def numbers_in_text(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """The numbers that the cells of a text file spell, as float64; true and false in any case are 1 and 0.

    Raises:
        ValueError: a cell is neither; its text is the error's.
    """
    trimmed = pc.utf8_trim_whitespace(column)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    try:
        return trimmed.cast(pa.float64())
    except pa.ArrowInvalid:
        lowered = pc.utf8_lower(trimmed)
        spelled = pc.if_else(pc.is_in(lowered, _TRUE), "1", pc.if_else(pc.is_in(lowered, _FALSE), "0", trimmed))
    try:
        return spelled.cast(pa.float64())
    except pa.ArrowInvalid:
        cells = spelled.drop_null()
        number = pc.match_substring_regex(
            cells, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity|nan)$"
        )
        odd = cells.filter(pc.invert(number))
        raise ValueError(odd[0].as_py() if len(odd) else "") from None


def scalar_text(value: str | int | float | bool | None) -> str | None:
    """A key or category of a request in the spelling that a column of it has; an empty text is none."""
    if value is None or type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    spelled: str | None = text(pa.chunked_array([pa.array([value])]), "the value")[0].as_py()
    return spelled


def _shortest(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """float64 in which a fraction that float32 holds exactly takes the shortest decimal that float32 tells apart."""
    narrow = column.cast(pa.float32(), safe=False)
    fraction = pc.not_equal(pc.floor(column), column)
    widened = pc.fill_null(pc.and_(fraction, pc.equal(narrow.cast(pa.float64()), column)), False)
    if not pc.any(widened).as_py():
        return column
    distinct = pc.unique(narrow.filter(widened))
    short = distinct.cast(pa.string()).cast(pa.float64())
    places = pc.index_in(narrow, value_set=distinct)
    return pc.if_else(widened, short.take(places), column)


def without_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A text column in which an empty text is null; any other column as it is."""
    if not pa.types.is_string(column.type):
        return column
    empty = pc.equal(column, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), column) if pc.any(empty).as_py() else column


def _text_of_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), MAX_EXACT))
    as_integer = pc.if_else(whole, column, 0.0).cast(pa.int64()).cast(pa.string())
    return pc.if_else(whole, as_integer, column.cast(pa.string()))


def _text_of_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole ones with all their digits, as an integer has them; fractions as the float64 nearest to them."""
    if column.type.scale < 0:
        column = column.cast(pa.decimal256(76, 0))
    digits = column.cast(pa.string())
    whole = pc.match_substring_regex(digits, r"^-?\d+(\.0*)?$")
    return pc.if_else(
        whole,
        pc.replace_substring_regex(digits, r"\.0*$", ""),
        _text_of_floats(_shortest(digits.cast(pa.float64()))),
    )


def _text_of_moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601, zoned ones in UTC; without the zeros at the end of a second's fraction, which only tell the unit."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    cut = pc.replace_substring_regex(column.cast(pa.string()), r"(\.\d*?)0+(Z?)$", r"\1\2")
    return pc.replace_substring_regex(cut, r"\.(Z?)$", r"\1")
