from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from llactr.errors import DataError
from llactr.spec import TimestampSpec
from llactr.transforms import utc_timestamps

UTC = dt.UTC


def _read(values: pa.Array, **spec: str) -> list[dt.datetime | None]:
    column = utc_timestamps(pa.chunked_array([values]), TimestampSpec.model_validate({"column": "t", **spec}))
    assert column.type == pa.timestamp("us", "UTC")
    found: list[dt.datetime | None] = column.to_pylist()
    return found


@pytest.mark.parametrize(("unit", "count"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_integers_count_their_unit(unit: str, count: int) -> None:
    values = pa.array([881_250_949 * count, None, -count], pa.int64())
    assert _read(values, unit=unit) == [
        dt.datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC),
        None,
        dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    ]


def test_integral_floats_count_as_integers_and_nan_is_null() -> None:
    assert _read(pa.array([60.0, float("nan"), None]), unit="s") == [
        dt.datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
        None,
        None,
    ]
    with pytest.raises(DataError, match="column 't' holds a timestamp that is no whole number of s"):
        _read(pa.array([60.5]), unit="s")


@pytest.mark.parametrize("nanoseconds", [1_999, -1, -1_000, -1_001, 86_400_000_000_999])
def test_nanoseconds_are_floored(nanoseconds: int) -> None:
    floor = dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(microseconds=nanoseconds // 1000)
    assert _read(pa.array([nanoseconds], pa.timestamp("ns", "UTC"))) == [floor]
    assert _read(pa.array([nanoseconds], pa.int64()), unit="ns") == [floor]


def test_zoned_timestamps_keep_their_moment() -> None:
    berlin = pa.array([dt.datetime(2024, 1, 1, 11, tzinfo=UTC)], pa.timestamp("ms", "Europe/Berlin"))
    assert _read(berlin) == [dt.datetime(2024, 1, 1, 11, tzinfo=UTC)]


def test_local_times_are_read_in_their_zone() -> None:
    local = pa.array([dt.datetime(2024, 1, 1, 12), dt.datetime(2024, 7, 1, 12), dt.datetime(2024, 10, 27, 2, 30)])
    assert _read(local, zone="Europe/Berlin") == [
        dt.datetime(2024, 1, 1, 11, tzinfo=UTC),
        dt.datetime(2024, 7, 1, 10, tzinfo=UTC),
        dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC),  # the first of the two times 2:30
    ]
    with pytest.raises(DataError, match=r"column 't' cannot be read as local times of zone 'Europe/Berlin'"):
        _read(pa.array([dt.datetime(2024, 3, 31, 2, 30)]), zone="Europe/Berlin")


def test_text_is_iso_8601() -> None:
    zoned = pa.array(["2024-05-31T09:30:00Z", "2024-05-31 09:30:00.123456789+02:00", None])
    assert _read(zoned) == [
        dt.datetime(2024, 5, 31, 9, 30, tzinfo=UTC),
        dt.datetime(2024, 5, 31, 7, 30, 0, 123456, tzinfo=UTC),
        None,
    ]
    assert _read(pa.array(["2024-05-31 09:30:00"]), zone="UTC") == [dt.datetime(2024, 5, 31, 9, 30, tzinfo=UTC)]
    assert _read(pa.array(["2024-05-31T09:30:00Z"]).dictionary_encode()) == [
        dt.datetime(2024, 5, 31, 9, 30, tzinfo=UTC)
    ]
    with pytest.raises(
        DataError, match=r"column 't' holds text that is no timestamp such as 2024-05-31T09:30:00Z: .*soon"
    ):
        _read(pa.array(["soon"]))


@pytest.mark.parametrize(
    "values", [pa.array([dt.datetime(2024, 1, 1)]), pa.array(["2024-01-01 00:00:00"]), pa.array([dt.date(2024, 1, 1)])]
)
def test_no_zone_is_refused(values: pa.Array) -> None:
    with pytest.raises(DataError, match=r"column 't' holds timestamps without a zone: give its 'zone' in the spec"):
        _read(values)


def test_numbers_without_unit_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 't' holds numbers \(int64\) as timestamps: give its 'unit'"):
        _read(pa.array([1, 2]))


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        (pa.array([881_250_949]), {"unit": "us"}),  # 1970: in range, and therefore fine
        (pa.array([881_250_949_000]), {"unit": "s"}),
        (pa.array([-(2**62)]), {"unit": "s"}),
        (pa.array([2**63 - 1]), {"unit": "ms"}),
        (pa.array([dt.datetime(1899, 12, 31, 23, 59, 59)], pa.timestamp("us", "UTC")), {}),
        (pa.array([dt.datetime(2200, 1, 1)], pa.timestamp("s", "UTC")), {}),
        (pa.array(["9999-12-31T00:00:00Z"]), {}),
    ],
)
def test_out_of_range_is_refused(values: pa.Array, spec: dict[str, str]) -> None:
    if spec.get("unit") == "us":
        assert _read(values, **spec)[0] == dt.datetime(1970, 1, 1, 0, 14, 41, 250949, tzinfo=UTC)
        return
    with pytest.raises(DataError, match=r"column 't' holds the timestamp .*, outside 1900 to 2200: check the 'unit'"):
        _read(values, **spec)


def test_the_edges_of_the_range_are_in_it() -> None:
    edges = [dt.datetime(1900, 1, 1, tzinfo=UTC), dt.datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
    assert _read(pa.array(edges, pa.timestamp("us", "UTC"))) == edges


def test_nothing_but_timestamps() -> None:
    with pytest.raises(DataError, match="column 't' has type bool, expected timestamps with a zone"):
        _read(pa.array([True]))
    assert _read(pa.nulls(2)) == [None, None]
    assert _read(pa.array([], pa.int64()), unit="s") == []
