"""A value has one spelling, whatever type brings it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llactr.errors import DataError
from llactr.spec import DatasetSpec
from llactr.transforms import Transform, admit, admit_key, normalize, normalize_key, scalar_text
from llactr.transforms.spelling import numbers, numbers_in_text


def _numbers(values: pa.Array) -> list[float | None]:
    found: list[float | None] = numbers(pa.chunked_array([values]), "the column").to_pylist()
    return found


def test_decimals_land_on_the_nearest_float() -> None:
    """Decimal context: Arrow's own cast of decimal 14.62 gives 14.620000000000001."""
    cents = [Decimal(n) / 100 for n in range(0, 20_000, 7)]
    for kind in (pa.decimal128(10, 2), pa.decimal128(38, 5), pa.decimal256(50, 2)):
        assert _numbers(pa.array(cents, kind)) == [float(value) for value in cents]
    assert _numbers(pa.array([Decimal("1E+5"), None])) == [100_000.0, None]
    assert _numbers(pa.array([Decimal("0.0000000")])) == [0.0]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_any_decimal_lands_on_the_nearest_float(value: Decimal) -> None:
    found = _numbers(pa.array([value], pa.decimal128(20, 4)))[0]
    assert found is not None
    nearest = float(value)  # Python rounds correctly
    narrow = np.float32(nearest)
    if nearest == float(narrow) and nearest % 1:  # a fraction that a float32 holds: its shortest decimal
        nearest = float(str(narrow))
    assert found == nearest
    assert abs(Fraction(found) - Fraction(value)) <= Fraction(1, 10**6) * abs(Fraction(value))


@given(st.integers(-999_999, 999_999), st.integers(0, 4))
def test_short_decimals_are_one_number_in_every_type(digits: int, places: int) -> None:
    """Six digits survive a float32: float32, its widened float64, float64, decimal and text meet."""
    value = Decimal(digits).scaleb(-places)
    narrow = np.float32(float(value))
    expected = [float(value)]
    assert _numbers(pa.array([float(value)])) == expected
    assert _numbers(pa.array([narrow], pa.float32())) == expected
    assert _numbers(pa.array([float(narrow)])) == expected, "widened by the reader of a float32 file"
    assert _numbers(pa.array([value], pa.decimal128(12, 4))) == expected
    assert numbers_in_text(pa.array([str(value), f" {value} "])).to_pylist() == expected * 2
    spellings = {
        scalar_text(float(value)),
        normalize_key(pa.array([narrow], pa.float32()), "k")[0].as_py(),
        normalize_key(pa.array([value], pa.decimal128(12, 4)), "k")[0].as_py(),
    }
    assert len(spellings) == 1
    if value == int(value):
        assert spellings == {str(int(value))}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([Decimal("0.00000001")]), ["1e-8"]),
        (pa.array([1e-8]), ["1e-8"]),
        (pa.array([1e-8], pa.float32()), ["1e-8"]),
        (pa.array([Decimal("0E-7")]), ["0"]),
        (pa.array([Decimal(2**70)], pa.decimal128(38, 0)), [str(2**70)]),
        (pa.array([Decimal(2**60)], pa.decimal128(38, 3)), [str(2**60)]),
        (pa.array([2.1], pa.float32()), ["2.1"]),
        (pa.array([dt.datetime(2024, 5, 31, 9, 30)], pa.timestamp("s")), ["2024-05-31 09:30:00"]),
        (pa.array([dt.datetime(2024, 5, 31, 9, 30)], pa.timestamp("ns")), ["2024-05-31 09:30:00"]),
        (pa.array([dt.datetime(2024, 5, 31, 9, 30, 0, 250_000)], pa.timestamp("us")), ["2024-05-31 09:30:00.25"]),
        (pa.array([dt.datetime(2024, 5, 31, 9, 30)], pa.timestamp("ms", "Europe/Berlin")), ["2024-05-31 09:30:00Z"]),
        (pa.array([dt.datetime(2024, 5, 31, 9, 30)], pa.timestamp("us", "UTC")), ["2024-05-31 09:30:00Z"]),
        (pa.array([dt.date(2024, 5, 31)], pa.date64()), ["2024-05-31"]),
        (pa.array([dt.time(3, 4)], pa.time32("s")), ["03:04:00"]),
        (pa.array([dt.time(3, 4)], pa.time64("us")), ["03:04:00"]),
    ],
)
def test_one_spelling_of_a_key(values: pa.Array, expected: list[str]) -> None:
    assert [text.replace("e-08", "e-8") for text in normalize_key(values, "k").to_pylist()] == expected


def test_what_has_no_one_spelling_is_refused() -> None:
    with pytest.raises(DataError, match=r"column 'k' has type duration\[s\], expected text, numbers or booleans"):
        normalize_key(pa.array([dt.timedelta(1)], pa.duration("s")), "k")
    with pytest.raises(DataError, match=r"the column has type halffloat, which holds three digits: write it as float"):
        numbers(pa.chunked_array([pa.array(np.array([2.1], np.float16))]), "the column")


def test_keys_that_floats_no_longer_tell_apart_are_refused() -> None:
    """Two ids, 2^53 and 2^53 + 1, are one float64: what a reader with nulls makes of integers."""
    assert admit_key(pa.array([2.0**53, None]), "user").to_pylist() == ["9.007199254740992e+15", None]
    with pytest.raises(DataError, match=r"column 'user' holds keys as double, which past 9007199254740992 no longer"):
        admit_key(pa.array([2.0**53 + 2]), "user")
    with pytest.raises(DataError, match=r"'user' holds keys as float, which past 16777216 .*: write the column as int"):
        admit_key(pa.array([123_456_789.0], pa.float32()), "user")


def test_an_empty_text_from_outside_is_no_value(spec_of: Callable[..., DatasetSpec]) -> None:
    field = spec_of({"name": "c", "kind": "categorical"}, {"name": "m", "kind": "multi_valued"}).fields[0]
    assert admit(pa.array(["a", "", None]), field).to_pylist() == ["a", None, None]
    assert admit(pa.array(["a", "", None]).dictionary_encode(), field).to_pylist() == ["a", None, None]
    assert admit_key(pa.array(["", " "]), "k").to_pylist() == [None, " "]
    assert [scalar_text(value) for value in ("", None, " ", 0, False, 0.0)] == [None, None, " ", "0", "false", "0"]


def test_cells_of_a_text_file_as_numbers() -> None:
    cells = pa.array(["1", " 2.5", "-3e2", "", None, "nan"])
    assert numbers_in_text(cells).to_pylist()[:5] == [1.0, 2.5, -300.0, None, None]
    assert numbers_in_text(pa.array(["True", "false", "TRUE", None, ""])).to_pylist() == [1.0, 0.0, 1.0, None, None]
    assert numbers_in_text(pa.array(["true", "0.5"])).to_pylist() == [1.0, 0.5]
    for odd in ("many", "1,50", "0x10", "yes"):
        with pytest.raises(ValueError, match=f"^{odd}$"):
            numbers_in_text(pa.array(["1", "true", odd]))


def test_weekdays_and_months_do_not_follow_the_locale(
    spec_of: Callable[..., DatasetSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locale-dependent weekday names: `calendar` asks the C library."""
    import calendar

    monkeypatch.setattr(calendar, "day_name", ["Montag"] * 7)
    monkeypatch.setattr(calendar, "month_name", [""] + ["Januar"] * 12)
    spec = spec_of(
        {"name": "w", "kind": "timestamp_part", "part": "weekday"},
        {"name": "m", "kind": "timestamp_part", "part": "month"},
    )
    at = pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], pa.timestamp("us", "UTC"))
    transform = Transform.fit(spec, pa.table({"event_timestamp": at}))
    assert transform.values("w")[0] == "Monday"
    assert transform.values("m")[11] == "December"


def test_normalising_twice_changes_nothing(spec_of: Callable[..., DatasetSpec]) -> None:
    field = spec_of({"name": "n", "kind": "numeric"}).fields[0]
    once = normalize(pa.array([14.62, 2.1, 0.5, 1e15], pa.float32()), field)
    assert once.to_pylist() == [14.62, 2.1, 0.5, 999999986991104.0]
    assert normalize(once, field).equals(once)
