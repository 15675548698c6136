"""Ids worked out by hand: reserved ids are 0 PAD, 1 OOV, 2 NULL, real values begin at 3."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from llactr.errors import DataError
from llactr.spec import DatasetSpec
from llactr.transforms import FIRST, NULL, OOV, PAD, FieldLayout, Transform

SpecOf = Callable[..., DatasetSpec]
NOON = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)  # a Thursday


def _table(**columns: object) -> pa.Table:
    count = len(next(iter(columns.values())))  # type: ignore[arg-type]
    return pa.table({"event_timestamp": pa.array([NOON] * count, pa.timestamp("us", "UTC")), **columns})


def test_reserved_ids() -> None:
    assert (PAD, OOV, NULL, FIRST) == (0, 1, 2, 3)


def test_categories_by_frequency_then_by_value(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "c", "kind": "categorical"})
    transform = Transform.fit(spec, _table(c=["b", "a", "z", "z", None, "b", "z"]))
    assert transform.values("c") == ["z", "b", "a"]
    assert transform.counts[0].tolist() == [0, 0, 1, 3, 2, 1]
    ids = transform.ids(_table(c=["a", "b", "z", None, "new", ""]))
    assert ids[:, 0].tolist() == [5, 4, 3, NULL, OOV, OOV]
    assert ids.dtype == np.int32
    assert ids.flags["C_CONTIGUOUS"]


def test_an_empty_text_is_a_category(spec_of: SpecOf) -> None:
    transform = Transform.fit(spec_of({"name": "c", "kind": "categorical"}), _table(c=["", "x", ""]))
    assert transform.values("c") == ["", "x"]


def test_min_count_sends_rare_values_to_oov_and_counts_them_there(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "c", "kind": "categorical", "min_count": 2})
    transform = Transform.fit(spec, _table(c=["a", "a", "b", "c"]))
    assert transform.values("c") == ["a"]
    assert transform.counts[0].tolist() == [0, 2, 0, 2]
    assert transform.ids(_table(c=["b", "a"]))[:, 0].tolist() == [OOV, 3]


@pytest.mark.parametrize("kind", ["categorical", "numeric", "multi_valued", "timestamp_part"])
@pytest.mark.parametrize(("nulls", "expected"), [("own_id", NULL), ("oov", OOV)])
def test_null_rules(spec_of: SpecOf, kind: str, nulls: str, expected: int) -> None:
    raw = {
        "categorical": ["a", None],
        "numeric": [1.0, None],
        "multi_valued": ["a", None],
        "timestamp_part": [NOON, None],
    }
    spec = spec_of({"name": "x", "kind": kind, "nulls": nulls, "source_column": "x", **_part(kind)})
    column = pa.array(raw[kind], pa.timestamp("us", "UTC") if kind == "timestamp_part" else None)
    transform = Transform.fit(spec, _table(x=column))
    ids = transform.ids(_table(x=column))
    assert ids[1, 0] == expected
    assert ids[0, 0] >= FIRST
    assert transform.counts[0][expected] == 1


@pytest.mark.parametrize("kind", ["categorical", "numeric", "multi_valued", "timestamp_part"])
def test_refused_nulls_name_the_field_and_how_many(spec_of: SpecOf, kind: str) -> None:
    whole = {"categorical": "a", "numeric": 1.0, "multi_valued": "a", "timestamp_part": NOON}[kind]
    spec = spec_of({"name": "x", "kind": kind, "nulls": "refuse", "source_column": "x", **_part(kind)})
    column_type = pa.timestamp("us", "UTC") if kind == "timestamp_part" else None
    transform = Transform.fit(spec, _table(x=pa.array([whole, whole], column_type)))
    with pytest.raises(DataError, match=r"field 'x' has no value in 2 rows, and its spec says 'nulls: refuse'"):
        transform.ids(_table(x=pa.array([None, whole, None], column_type)))
    with pytest.raises(DataError, match=r"field 'x' has no value in 1 row, "):
        Transform.fit(spec, _table(x=pa.array([None, whole], column_type)))


def _part(kind: str) -> dict[str, str]:
    return {"part": "hour"} if kind == "timestamp_part" else {}


def test_multi_valued_trims_drops_empty_and_repeated_values_and_keeps_the_first(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "m", "kind": "multi_valued", "separator": "|", "max_values": 3})
    transform = Transform.fit(spec, _table(m=["a|b", "a|a|c", "a |  b|", None, "", "d"]))
    # Rows that hold each value: a 3, b 2, c 1, d 1.
    assert transform.values("m") == ["a", "b", "c", "d"]
    ids = transform.ids(_table(m=["c|b|a", "a|a||b", "d|c|b|a", "x|a|y", " ", "||", None, "B"]))[:, :3]
    assert ids.tolist() == [
        [5, 4, 3],
        [3, 4, PAD],
        [6, 5, 4],  # the fourth value is left out
        [OOV, 3, PAD],  # two unknown values take one slot
        [NULL, PAD, PAD],
        [NULL, PAD, PAD],
        [NULL, PAD, PAD],
        [OOV, PAD, PAD],
    ]
    assert transform.counts[0].tolist() == [0, 0, 2, 3, 2, 1, 1]


def test_quantile_buckets_cut_at_training_values(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "n", "kind": "numeric", "buckets": "quantile", "bucket_count": 4})
    transform = Transform.fit(spec, _table(n=[1, 2, 3, 4, 5, 6, 7, 8]))
    # The smallest values with at least 1/4, 2/4, 3/4 of the rows at or below them are 2, 4, 6.
    assert transform.values("n") == ["below 2", "from 2 to below 4", "from 4 to below 6", "6 or more"]
    ids = transform.ids(_table(n=[-5.0, 1.9, 2.0, 3.9, 4.0, 6.0, 1e300]))[:, 0]
    assert ids.tolist() == [3, 3, 4, 4, 5, 6, 6]


def test_repeated_quantile_edges_become_one(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "n", "kind": "numeric", "bucket_count": 10})
    transform = Transform.fit(spec, _table(n=[0.0] * 90 + [1.0] * 5 + [2.0] * 5))
    # All nine edges are 0, the minimum: below it lies nothing.
    assert transform.values("n") == ["any number"]
    transform = Transform.fit(spec, _table(n=[0.0] * 50 + [1.0] * 30 + [2.0] * 20))
    assert transform.values("n") == ["below 1", "from 1 to below 2", "2 or more"]
    assert transform.counts[0].tolist() == [0, 0, 0, 50, 30, 20]


def test_log_buckets_follow_the_formula_where_training_filled_them(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "n", "kind": "numeric", "buckets": "log"})
    numbers = [0.0, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0]
    transform = Transform.fit(spec, _table(n=numbers))
    formula = [math.floor(math.log(1 + x) ** 2) for x in numbers]
    assert formula == [0, 0, 1, 3, 5, 21, 47]
    ids = transform.ids(_table(n=numbers))[:, 0].tolist()
    assert ids == [3, 3, 4, 5, 6, 7, 8]
    # 7.5 is in bucket 4, which training left empty: it goes to bucket 3. Beyond the last it stays in the last.
    assert math.floor(math.log(1 + 7) ** 2) == 4
    assert transform.ids(_table(n=[7.0, 1e12, -1.0]))[:, 0].tolist() == [5, 8, 3]


def test_log_buckets_give_negative_numbers_their_own(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "n", "kind": "numeric", "buckets": "log"})
    transform = Transform.fit(spec, _table(n=[-1.0, -7.0, 0.0, 5.0]))
    assert transform.ids(_table(n=[-0.5, 0.0, 5.0]))[:, 0].tolist() == [3, 4, 5]
    assert transform.values("n")[0] == "below 0"


def test_nan_is_null_and_infinity_is_a_number(spec_of: SpecOf) -> None:
    transform = Transform.fit(
        spec_of({"name": "n", "kind": "numeric", "bucket_count": 2}), _table(n=[1.0, 2.0, 3.0, 4.0])
    )
    ids = transform.ids(_table(n=[float("nan"), float("inf"), float("-inf")]))[:, 0]
    assert ids.tolist() == [NULL, 4, 3]


def test_a_numeric_field_without_any_training_value_still_maps(spec_of: SpecOf) -> None:
    transform = Transform.fit(spec_of({"name": "n", "kind": "numeric"}), _table(n=pa.array([None, None], pa.float64())))
    assert transform.ids(_table(n=[3.0, 4.0]))[:, 0].tolist() == [3, 3]


@pytest.mark.parametrize(
    ("part", "expected", "size"),
    [("hour", 3 + 12, 27), ("weekday", 3 + 3, 10), ("month", 3 + 1, 15), ("day", 3 + 28, 34)],
)
def test_timestamp_parts_are_closed_vocabularies(spec_of: SpecOf, part: str, expected: int, size: int) -> None:
    spec = spec_of({"name": "t", "kind": "timestamp_part", "part": part})
    transform = Transform.fit(spec, _table(t=["ignored"]))
    assert transform.layout.vocab_sizes[0] == size
    assert transform.ids(_table(other=["x"]))[0, 0] == expected


def test_timestamp_parts_match_the_calendar_before_and_after_1970(spec_of: SpecOf) -> None:
    parts = ("hour", "weekday", "month", "day")
    spec = spec_of(*({"name": p, "kind": "timestamp_part", "part": p} for p in parts))
    moments = [dt.datetime(1900, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=10_007 * i + 1) for i in range(260)]
    table = pa.table({"event_timestamp": pa.array(moments, pa.timestamp("us", "UTC"))})
    ids = Transform.fit(spec, table).ids(table)
    expected = [[3 + m.hour, 3 + m.weekday(), 2 + m.month, 2 + m.day] for m in moments]
    assert ids.tolist() == expected
    assert moments[0].year == 1900
    assert moments[-1].year > 2190


def test_weekdays_and_months_have_names(spec_of: SpecOf) -> None:
    spec = spec_of(
        {"name": "w", "kind": "timestamp_part", "part": "weekday"},
        {"name": "m", "kind": "timestamp_part", "part": "month"},
    )
    transform = Transform.fit(spec, _table(x=[1]))
    assert transform.values("w")[0] == "Monday"
    assert transform.values("m")[11] == "December"
    with pytest.raises(KeyError):
        transform.values("nothing")


def test_slots_lie_in_field_order(spec_of: SpecOf) -> None:
    spec = spec_of(
        {"name": "a", "kind": "categorical"},
        {"name": "m", "kind": "multi_valued", "max_values": 2},
        {"name": "h", "kind": "timestamp_part", "part": "hour"},
    )
    transform = Transform.fit(spec, _table(a=["x"], m=["p q"]))
    layout = transform.layout
    assert layout == FieldLayout(names=("a", "m", "h"), vocab_sizes=(4, 5, 27), slots=(1, 2, 1))
    assert (layout.slot_count, layout.field_count, layout.total_rows) == (4, 3, 36)
    assert layout.offsets.tolist() == [0, 4, 9]
    assert layout.slot_fields.tolist() == [0, 1, 1, 2]
    assert layout.slot_starts.tolist() == [0, 1, 3]
    assert transform.ids(_table(a=["x"], m=["q"])).tolist() == [[3, 4, PAD, 15]]


def test_a_layout_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        FieldLayout(names=("a",), vocab_sizes=(3, 4), slots=(1,))
    with pytest.raises(ValueError, match="3 reserved ids"):
        FieldLayout(names=("a",), vocab_sizes=(2,), slots=(1,))


def test_missing_column_is_named_with_what_there_is(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "c", "kind": "categorical"})
    with pytest.raises(
        DataError, match=r"field 'c' reads column 'c', which the table does not have: .*'event_timestamp', 'd'"
    ):
        Transform.fit(spec, _table(d=["a"]))
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["c", "c"])
    with pytest.raises(DataError, match=r"field 'c' reads column 'c', which the table has twice"):
        Transform.fit(spec, twice)


def test_values_after_the_training_rows_do_not_change_the_ids(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "c", "kind": "categorical"}, {"name": "n", "kind": "numeric", "bucket_count": 2})
    rows = _table(c=["a", "b", "c", "c", "c"], n=[1.0, 2.0, 50.0, 60.0, 70.0])
    transform = Transform.fit(spec, rows.slice(0, 2))
    assert transform.values("c") == ["a", "b"]
    assert transform.ids(rows)[:, 0].tolist() == [3, 4, OOV, OOV, OOV]


def test_no_rows_give_no_ids(spec_of: SpecOf) -> None:
    spec = spec_of(
        {"name": "c", "kind": "categorical"}, {"name": "m", "kind": "multi_valued"}, {"name": "n", "kind": "numeric"}
    )
    transform = Transform.fit(spec, _table(c=["a"], m=["b"], n=[1.0]))
    empty = _table(c=["a"], m=["b"], n=[1.0]).slice(0, 0)
    assert transform.ids(empty).shape == (0, 10)
    no_chunks = pa.table(
        {
            name: pa.chunked_array([], column.type)
            for name, column in zip(empty.column_names, empty.columns, strict=True)
        }
    )
    assert transform.ids(no_chunks).shape == (0, 10)


def test_rows_that_hold_what_training_never_saw(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "c", "kind": "categorical"}, {"name": "m", "kind": "multi_valued", "separator": "|"})
    transform = Transform.fit(spec, _table(c=["a", "b"], m=["x", "y"]))
    ids = transform.ids(_table(c=["a", "new", None, "newer"], m=["x|new", "y", None, "x"]))
    assert transform.out_of_vocabulary(ids) == {"c": 2, "m": 1}
    assert transform.out_of_vocabulary(ids[1:3]) == {"c": 1}
    assert transform.out_of_vocabulary(ids[2:3]) == {}
