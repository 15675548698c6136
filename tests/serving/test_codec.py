"""What is looked up is what the transform says, for values of every kind, and however the memory is filled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from hypothesis import given, settings
from hypothesis import strategies as st

from llactr.serving import codec as codec_module
from llactr.serving.codec import OwnerCodec, floor_hour
from llactr.serving.views import entity_views
from llactr.transforms import OOV, Transform
from tests.serving.serving_workspace import items_table, spec_of

SPEC = spec_of([field for field in spec_of().model_dump(mode="json")["fields"] if field["owner"] == "item"])
TRANSFORM = Transform.fit(SPEC, pa.table(items_table()))
VIEW = entity_views(SPEC)["item"]

keys = st.sampled_from(["1", "2", "299", "never seen", "Ü\u0000", ""])
texts = st.none() | st.sampled_from(["title 1", "a|b", "d||a", " | ", ""]) | st.text(max_size=8)
numbers = st.none() | st.floats(allow_infinity=False)
seconds = st.none() | st.integers(-2_208_988_800, 7_258_118_399)  # 1900 to 2199, all that ingest lets in
rows = st.none() | st.tuples(texts, texts, numbers, seconds)


def stored(values: tuple[Any, ...] | None) -> tuple[bytes | None, ...] | None:
    if values is None:
        return None
    title, genres, price, listed = values
    text = [Value() if v is None else Value(string_val=v) for v in (title, genres)]
    number = Value() if price is None else Value(double_val=price)
    moment = Value(unix_timestamp_val=NULL_TIMESTAMP_INT_VALUE if listed is None else listed)
    return tuple(value.SerializeToString() for value in (*text, number, moment))


def raw_table(keys: list[str], given: list[tuple[Any, ...] | None]) -> pa.Table:
    filled = [row or (None,) * 4 for row in given]
    listed = pa.array([row[3] for row in filled], pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "item_id": pa.array(keys),
            "title": pa.array([row[0] for row in filled], pa.string()),
            "genres": pa.array([row[1] for row in filled], pa.string()),
            "price": pa.array([row[2] for row in filled], pa.float64()),
            "listed": listed,
        }
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(keys, rows), min_size=1, max_size=20))
def test_ids_are_the_transforms(entities: list[tuple[str, tuple[Any, ...] | None]]) -> None:
    codec = OwnerCodec(SPEC, TRANSFORM, "item", view=VIEW)
    names, values = [name for name, _ in entities], [row for _, row in entities]
    assert VIEW.fields == ("title", "genres", "price", "listed")
    expected = TRANSFORM.ids(raw_table(names, values))[:, codec.columns]
    serialized = [stored(row) for row in values]
    assert np.array_equal(codec.entity_ids(names, serialized), expected)
    assert np.array_equal(codec.entity_ids(names, serialized), expected)  # from memory


def test_a_full_memory_is_emptied_and_filled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module, "_MEMO_LIMIT", 10)
    codec = OwnerCodec(SPEC, TRANSFORM, "item", view=VIEW)
    for start in range(0, 60, 6):
        names = [str(i) for i in range(start, start + 8)]
        values: list[tuple[Any, ...] | None] = [
            (f"title {i}", "a", float(i), i * 10**6) for i in range(start, start + 8)
        ]
        expected = TRANSFORM.ids(raw_table(names, values))[:, codec.columns]
        assert np.array_equal(codec.entity_ids(names, [stored(row) for row in values]), expected)


def test_an_unknown_entity_of_a_field_that_refuses_nulls_is_out_of_vocabulary() -> None:
    fields = [field | {"nulls": "refuse"} for field in SPEC.model_dump(mode="json")["fields"]]
    spec = spec_of(fields)
    table = raw_table(["1", "2"], [("x", "a|b", 1.0, 5), ("x", "b", 2.0, 6)])
    codec = OwnerCodec(spec, Transform.fit(spec, table), "item", view=entity_views(spec)["item"])
    ids = codec.entity_ids(["9", "1"], [None, stored(("x", "a|b", 1.0, 5))])
    assert ids[0].tolist() == [OOV, OOV, OOV, 0, 0, OOV, OOV]
    assert OOV not in ids[1].tolist()
    blank = codec.entity_ids(["1"], [stored(("x", " | ", None, None))])
    assert blank[0].tolist()[2:] == [OOV, 0, 0, OOV, OOV]


def test_raw_values_are_text_numbers_and_moments() -> None:
    codec = OwnerCodec(SPEC, TRANSFORM, "item", view=VIEW)
    raw = codec.entity_raw(["1", "2"], [stored(("t", None, 2.5, 86_400)), None])
    assert raw == {
        "item_id": ["1", "2"],
        "title": ["t", None],
        "genres": [None, None],
        "price": [2.5, None],
        "listed": [datetime(1970, 1, 2, tzinfo=UTC), None],
    }


@given(st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)))
def test_the_full_hour_before_any_moment(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    hour = moment.replace(minute=0, second=0, microsecond=0)
    assert floor_hour(moment) == round(hour.timestamp()) * 1_000_000
