"""Any timestamp column -> microseconds in UTC; what is ambiguous or out of range is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llactr.columns import TIMESTAMP
from llactr.errors import DataError
from llactr.spec import TimestampSpec

__all__ = ["EARLIEST", "LATEST", "utc_timestamps"]

EARLIEST, LATEST = np.datetime64("1900-01-01", "us"), np.datetime64("2200-01-01", "us")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def utc_timestamps(column: pa.ChunkedArray, spec: TimestampSpec) -> pa.ChunkedArray:
    """A timestamp column as timestamp[us, UTC].

    Zoned timestamps are converted. Integers count `spec.unit` since 1970 in UTC. Timestamps without a zone are local
    times of `spec.zone`: an hour that a change of clocks repeats is taken as its first pass, one that it skips is
    refused. Text is ISO 8601 or, where the spec has a unit, whole numbers. Nanoseconds are floored. Nulls stay nulls.

    Args:
        column: integers, integral floats, text, dates or timestamps.
        spec: the column's name, and the unit or zone that it needs.

    Raises:
        DataError: the type needs a unit or zone that the spec lacks, or a value lies outside 1900 to 2200.
    """
    if column.type == TIMESTAMP:
        micros = column
    elif pa.types.is_dictionary(column.type):
        return utc_timestamps(column.cast(column.type.value_type), spec)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        micros = _from_numbers(column, spec)
    elif pa.types.is_timestamp(column.type):
        micros = _from_timestamps(column, spec)
    elif _is_text(column.type):
        micros = _from_text(column, spec)
    elif pa.types.is_date(column.type):
        micros = _from_timestamps(column.cast(pa.timestamp("ms")), spec)
    elif pa.types.is_null(column.type):
        micros = column.cast(TIMESTAMP)
    else:
        raise DataError(f"column {spec.column!r} has type {column.type}, expected timestamps with a zone")
    _check_range(micros, spec)
    return micros


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _from_numbers(column: pa.ChunkedArray, spec: TimestampSpec) -> pa.ChunkedArray:
    if spec.unit is None:
        raise DataError(
            f"column {spec.column!r} holds numbers ({column.type}) as timestamps: "
            "give its 'unit' in the spec, one of s, ms, us, ns"
        )
    try:
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(
            f"column {spec.column!r} holds a timestamp that is no whole number of {spec.unit}: {error}"
        ) from None
    return _map_int64(whole, lambda count: _scale_to_micros(count, spec))


def _scale_to_micros(count: Any, spec: TimestampSpec) -> Any:
    per_second = _PER_SECOND[spec.unit or "us"]
    if per_second > 10**6:
        return count // (per_second // 10**6)
    factor = 10**6 // per_second
    limit = np.iinfo(np.int64).max // factor
    if len(count) and (count.max() > limit or count.min() < -limit):
        raise DataError(_range_message(spec, f"{count.max() if count.max() > limit else count.min()} {spec.unit}"))
    return count * factor


def _from_timestamps(column: pa.ChunkedArray, spec: TimestampSpec) -> pa.ChunkedArray:
    kind = column.type
    if kind.tz is None:
        if spec.zone is None:
            raise DataError(
                f"column {spec.column!r} holds timestamps without a zone: give its 'zone' in the spec, such as UTC"
            )
        try:
            column = pc.assume_timezone(column, spec.zone, ambiguous="earliest", nonexistent="raise")
        except pa.ArrowInvalid as error:
            raise DataError(_skipped(spec, str(error))) from None
    # Through int64: Arrow's own cast of ns to us truncates towards 1970, which is not the floor for earlier times.
    counts = TimestampSpec(column=spec.column, unit=kind.unit)
    return _map_int64(column.cast(pa.timestamp(kind.unit, "UTC")), lambda count: _scale_to_micros(count, counts))


def _skipped(spec: TimestampSpec, reason: str) -> str:
    """One sentence of Arrow's five lines about a local time that does not exist."""
    found = re.search(r": (\d[\d :.-]*\d) is in a gap", reason)
    problem = f"{found[1].removesuffix('.000000')} was skipped there when clocks were set forward" if found else reason
    return (
        f"column {spec.column!r} cannot be read as local times of zone {spec.zone!r}: {' '.join(problem.split())}; "
        "mend that time, or give times in UTC or with their offset"
    )


def _from_text(column: pa.ChunkedArray, spec: TimestampSpec) -> pa.ChunkedArray:
    if spec.unit is not None:
        whole = pc.replace_substring_regex(pc.utf8_trim_whitespace(column.cast(pa.string())), r"^(-?\d+)\.0*$", r"\1")
        whole = pc.if_else(pc.equal(whole, ""), pa.scalar(None, pa.string()), whole)
        try:
            return _from_numbers(whole.cast(pa.int64()), spec)
        except pa.ArrowInvalid:
            cells = whole.drop_null()
            if not pc.all(pc.match_substring_regex(cells, r"^\d{4}-\d\d-\d\d")).as_py():
                odd = cells.filter(pc.invert(pc.match_substring_regex(cells, r"^-?\d{1,18}$")))
                raise DataError(
                    f"column {spec.column!r} holds {odd[0].as_py()!r}, which is no whole number of {spec.unit}: mend "
                    "it, or leave out 'unit' in the spec for times such as 2024-05-31T09:30:00Z"
                ) from None
    text = pc.replace_substring_regex(column.cast(pa.string()), r"(\.\d{6})\d+", r"\1")
    try:
        return text.cast(TIMESTAMP)
    except pa.ArrowInvalid as zoned:
        try:
            local = text.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            if pc.all(pc.match_substring_regex(text, r"^-?\d+$")).as_py():
                raise DataError(
                    f"column {spec.column!r} holds whole numbers such as {text.drop_null()[0]}: give it a 'unit' "
                    "(s, ms, us or ns) in the spec"
                ) from None
            reason = str(zoned).splitlines()[0].removesuffix(".")
            raise DataError(
                f"column {spec.column!r} holds text that is no timestamp such as 2024-05-31T09:30:00Z: {reason}"
            ) from None
        return _from_timestamps(local, spec)


def _map_int64(column: pa.ChunkedArray, micros: Any) -> pa.ChunkedArray:
    chunks = []
    for chunk in column.chunks:
        whole = chunk.view(pa.int64()) if pa.types.is_timestamp(chunk.type) else chunk
        valid = whole.is_valid().to_numpy(zero_copy_only=False)
        counts = micros(whole.fill_null(0).to_numpy(zero_copy_only=False))
        chunks.append(pa.array(counts, mask=~valid).view(TIMESTAMP))
    return pa.chunked_array(chunks, TIMESTAMP)


def _check_range(column: pa.ChunkedArray, spec: TimestampSpec) -> None:
    extremes = pc.min_max(column.cast(pa.int64())).as_py()
    for value in (extremes["min"], extremes["max"]):
        if value is not None and not EARLIEST <= np.datetime64(value, "us") < LATEST:
            raise DataError(_range_message(spec, str(np.datetime64(value, "us"))))


def _range_message(spec: TimestampSpec, found: str) -> str:
    return (
        f"column {spec.column!r} holds the timestamp {found}, outside 1900 to 2200: "
        f"check the 'unit' in the spec{f' (now {spec.unit})' if spec.unit else ''}, or drop the row"
    )
