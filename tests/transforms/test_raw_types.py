from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
import pytest

from llactr.errors import DataError
from llactr.spec import DatasetSpec, Field
from llactr.transforms import normalize, normalize_key, normalize_table, raw_column, raw_type

SpecOf = Callable[..., DatasetSpec]


@pytest.fixture
def fields(spec_of: SpecOf) -> dict[str, Field]:
    spec = spec_of(
        {"name": "c", "kind": "categorical"},
        {"name": "n", "kind": "numeric"},
        {"name": "m", "kind": "multi_valued", "separator": ","},
        {"name": "h", "kind": "timestamp_part", "part": "hour"},
        {"name": "seen", "kind": "timestamp_part", "part": "hour", "source_column": "seen_at"},
    )
    return {field.name: field for field in spec.fields}


def test_raw_types_by_kind(fields: dict[str, Field]) -> None:
    assert {name: raw_type(field) for name, field in fields.items()} == {
        "c": pa.string(),
        "n": pa.float64(),
        "m": pa.string(),
        "h": pa.timestamp("us", "UTC"),
        "seen": pa.timestamp("us", "UTC"),
    }


def test_a_part_of_the_event_timestamp_reads_that_column(fields: dict[str, Field]) -> None:
    assert raw_column(fields["h"]) == "event_timestamp"
    assert raw_column(fields["seen"]) == "seen"
    assert raw_column(fields["c"]) == "c"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([25, None, -3], pa.int8()), ["25", None, "-3"]),
        (pa.array([2**63 + 5], pa.uint64()), ["9223372036854775813"]),
        (pa.array([25.0, 2.5, None, float("nan"), -0.0]), ["25", "2.5", None, None, "0"]),
        (pa.array([25.0, 1e15], pa.float32()), ["25", "999999986991104"]),
        (pa.array([2.0**53, 1e20, float("inf")]), ["9.007199254740992e+15", "1e+20", "inf"]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([Decimal("25.00"), Decimal("2.50"), Decimal("100.00")]), ["25", "2.5", "100"]),
        (pa.array([Decimal("100"), Decimal("20")]), ["100", "20"]),
        (pa.array(["25.0", "", " x", "é"]), ["25.0", "", " x", "é"]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array([7, 8, 7]).dictionary_encode(), ["7", "8", "7"]),
        (pa.array(["b", None]).dictionary_encode(), ["b", None]),
        (pa.nulls(2), [None, None]),
        (pa.array([dt.date(2024, 5, 31)]), ["2024-05-31"]),
    ],
)
def test_one_spelling_of_a_category(fields: dict[str, Field], values: pa.Array, expected: list[str | None]) -> None:
    found = normalize(values, fields["c"])
    assert found.type == pa.string()
    assert found.to_pylist() == expected
    assert normalize_key(values, "user").to_pylist() == expected
    assert normalize(found, fields["c"]).to_pylist() == expected, "normalising twice changes nothing"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, None], pa.int32()), [1.0, None]),
        (pa.array([1.5, float("nan")], pa.float32()), [1.5, None]),
        (pa.array([True, False]), [1.0, 0.0]),
        (pa.array([Decimal("1.25")]), [1.25]),
        (pa.array([2**60]), [float(2**60)]),
        (pa.nulls(1), [None]),
        (pa.array([1.0, 2.0, 1.0]).dictionary_encode(), [1.0, 2.0, 1.0]),
    ],
)
def test_numbers(fields: dict[str, Field], values: pa.Array, expected: list[float | None]) -> None:
    found = normalize(values, fields["n"])
    assert found.type == pa.float64()
    assert found.to_pylist() == expected


def test_text_is_no_number(fields: dict[str, Field]) -> None:
    with pytest.raises(
        DataError, match=r"field 'n' is numeric, but its values have type string: give numbers, or make"
    ):
        normalize(pa.array(["1"]), fields["n"])


def test_lists_and_bytes_are_refused_by_name(fields: dict[str, Field]) -> None:
    with pytest.raises(DataError, match=r"field 'm' has type list<.*>, expected text with the values joined by ','"):
        normalize(pa.array([["a", "b"]]), fields["m"])
    with pytest.raises(DataError, match=r"field 'c' has type struct<.*>, expected text, numbers or booleans"):
        normalize(pa.array([{"a": 1}]), fields["c"])
    with pytest.raises(DataError, match=r"field 'c' holds bytes \(binary\)"):
        normalize(pa.array([b"x"]), fields["c"])
    with pytest.raises(DataError, match=r"field 'seen' \(column 'seen_at'\)|column 'seen_at' has type bool"):
        normalize(pa.array([True]), fields["seen"])


def test_dates_need_no_zone_for_their_parts_but_naive_timestamps_do(fields: dict[str, Field]) -> None:
    found = normalize(pa.array([dt.date(2024, 5, 31)]), fields["seen"])
    assert found.to_pylist() == [dt.datetime(2024, 5, 31, tzinfo=dt.UTC)]
    with pytest.raises(DataError, match=r"column 'seen_at' holds timestamps without a zone"):
        normalize(pa.array([dt.datetime(2024, 5, 31)]), fields["seen"])


def test_a_whole_table(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "c", "kind": "categorical"}, {"name": "n", "kind": "numeric"})
    table = pa.table({"n": [1, 2], "c": [3.0, None], "beside": [b"x", b"y"]})
    found = normalize_table(spec, table)
    assert found.to_pydict() == {"n": [1.0, 2.0], "c": ["3", None], "beside": [b"x", b"y"]}
    assert normalize_table(spec, found).equals(found)
    with pytest.raises(DataError, match=r"field 'n' reads column 'n', which the table does not have: it has 'c'"):
        normalize_table(spec, pa.table({"c": ["a"]}))
