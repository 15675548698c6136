from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from llactr.errors import DataError
from llactr.semantics import distinct_field_values, value_text
from llactr.spec import DatasetSpec
from tests import specs
from tests.specs import field

STAMP = pa.timestamp("us", tz="UTC")


def spec_of(*fields: dict[str, Any]) -> DatasetSpec:
    keys, tables = {"user": "uid", "item": "iid"}, {"user": "users", "item": "items"}
    return specs.spec_of(*fields, name="toy", keys=keys, tables=tables)


def at(*when: datetime) -> pa.Array:
    return pa.array(when, STAMP)


MONDAY_NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
SUNDAY_LATE = datetime(2024, 12, 1, 23, tzinfo=UTC)


def test_every_kind_of_field_from_one_raw_table():
    spec = spec_of(
        field("user", "user", source_column="uid"),
        field("price", "item", "numeric"),
        field("genres", "item", "multi_valued", separator="|"),
        field("hour", "context", "timestamp_part", part="hour"),
        field("weekday", "context", "timestamp_part", part="weekday"),
        field("month", "context", "timestamp_part", part="month"),
        field("sent", "context", "timestamp_part", part="day", source_column="sent_at"),
    )
    events = pa.table({
        "user": ["9", "10", None, "9"],
        "price": pa.array([3.0, 2.5, float("nan"), None]),
        "genres": ["War| Drama", "Drama", "", None],
        "event_timestamp": at(MONDAY_NOON, SUNDAY_LATE, MONDAY_NOON, SUNDAY_LATE),
        "sent": at(MONDAY_NOON, None, MONDAY_NOON, SUNDAY_LATE),
    })  # fmt: skip
    assert distinct_field_values(spec, events) == {
        "user": ("10", "9"),
        "price": ("2.5", "3"),
        "genres": ("Drama", "War"),
        "hour": ("12", "23"),
        "weekday": ("Monday", "Sunday"),
        "month": ("December", "January"),
        "sent": ("1",),
    }


def test_entity_tables_give_only_keys_and_rows_of_the_training_time():
    spec = spec_of(field("uid", "user"), field("job", "user"), field("iid", "item"))
    events = pa.table({"uid": ["1", "2"], "iid": ["a", "a"], "event_timestamp": at(MONDAY_NOON, MONDAY_NOON)})
    users = pa.table({
        "uid": ["1", "2", "2", "3"],
        "job": ["clerk", "smith", "baron", "spy"],
        "event_timestamp": at(MONDAY_NOON, MONDAY_NOON, SUNDAY_LATE, MONDAY_NOON),
    })  # fmt: skip
    found = distinct_field_values(spec, events, entities={"user": users})
    assert found == {"uid": ("1", "2"), "job": ("clerk", "smith"), "iid": ("a",)}


def test_a_large_field_is_sampled_and_still_knows_what_others_share():
    spec = spec_of(field("uid", "user"), field("age", "user"), field("iid", "item"))
    rows = 5000
    events = pa.table({
        "uid": [str(n) for n in range(rows)],
        "age": [str(n % 40) for n in range(rows)],
        "iid": ["x"] * rows,
        "event_timestamp": at(*[MONDAY_NOON] * rows),
    })  # fmt: skip
    found = distinct_field_values(spec, events, limit=100, seed=1)
    assert found["age"] == tuple(sorted(str(n) for n in range(40)))
    assert set(found["age"]) <= set(found["uid"])
    assert 100 <= len(found["uid"]) <= 140
    assert distinct_field_values(spec, events, limit=100, seed=1) == found
    assert distinct_field_values(spec, events, limit=100, seed=2)["uid"] != found["uid"]


def test_value_texts_of_vocabulary_values():
    spec = spec_of(
        field("weekday", "context", "timestamp_part", part="weekday"),
        field("month", "context", "timestamp_part", part="month"),
        field("hour", "context", "timestamp_part", part="hour"),
    )
    texts = [value_text(f, v) for f, v in zip(spec.fields, ("6", "12", "6"), strict=True)]
    assert texts == ["Sunday", "December", "6"]


def test_a_field_without_a_column():
    events = pa.table({"uid": ["1"], "iid": ["2"], "event_timestamp": at(MONDAY_NOON)})
    with pytest.raises(DataError, match=r"no column for field 'job': they have \['uid', 'iid', 'event_timestamp'\]"):
        distinct_field_values(spec_of(field("uid", "user"), field("job", "user")), events)


def test_no_rows():
    events = pa.table({"uid": pa.array([], pa.string()), "event_timestamp": at()})
    with pytest.raises(DataError, match="no training rows to take field values from: run 'llactr ingest'"):
        distinct_field_values(spec_of(field("uid", "user"), field("iid", "item")), events)
