"""Training and serving give the same ids: a table of N rows, its rows one by one, and any chunking or encoding."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llactr.spec import DatasetSpec
from llactr.transforms import FIRST, NULL, PAD, Transform, normalize_table

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "code": st.none() | st.integers(0, 5) | st.integers(-(2**60), 2**60),
            "word": st.none() | st.sampled_from(["a", "b", "é", "日本", ""]) | TEXTS,
            "number": st.none() | st.floats(allow_nan=True, width=64) | st.integers(-3, 3).map(float),
            "log": st.none() | st.floats(0, 1e9) | st.integers(-3, 3).map(float),
            "tags": st.none()
            | st.lists(st.sampled_from(["a", "b", "c", " ", "", "ß"]) | TEXTS, max_size=6).map("|".join),
            "event_timestamp": st.datetimes(
                dt.datetime(1901, 1, 1), dt.datetime(2199, 1, 1), timezones=st.just(dt.UTC)
            ),
        }
    ),
    min_size=1,
    max_size=30,
)
SCHEMA = pa.schema(
    {
        "code": pa.int64(),
        "word": pa.string(),
        "number": pa.float64(),
        "log": pa.float64(),
        "tags": pa.string(),
        "event_timestamp": pa.timestamp("us", "UTC"),
    }
)
CAREFULLY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def spec(spec_of: Callable[..., DatasetSpec]) -> DatasetSpec:
    return spec_of(
        {"name": "code", "kind": "categorical"},
        {"name": "word", "kind": "categorical", "min_count": 2},
        {"name": "number", "kind": "numeric", "bucket_count": 3},
        {"name": "log", "kind": "numeric", "buckets": "log", "nulls": "oov"},
        {"name": "tags", "kind": "multi_valued", "separator": "|", "max_values": 3},
        {"name": "weekday", "kind": "timestamp_part", "part": "weekday"},
        {"name": "day", "kind": "timestamp_part", "part": "day"},
    )


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@CAREFULLY
@given(training=ROWS, rows=ROWS)
def test_a_batch_gives_the_ids_of_its_rows(spec: DatasetSpec, training: list[Any], rows: list[Any]) -> None:
    transform = Transform.fit(spec, _table(training))
    together = transform.ids(_table(rows))
    one_by_one = np.concatenate([transform.ids(_table([row])) for row in rows])
    assert together.tolist() == one_by_one.tolist()


@CAREFULLY
@given(rows=ROWS, cut=st.integers(0, 30))
def test_chunks_dictionaries_and_prior_normalising_change_nothing(spec: DatasetSpec, rows: list[Any], cut: int) -> None:
    table = _table(rows)
    transform = Transform.fit(spec, table)
    expected = transform.ids(table).tolist()
    chunks = pa.concat_tables([table.slice(0, cut), table.slice(cut), table.slice(0, 0)])
    encoded = chunks
    for name in ("code", "word", "tags"):
        # Each chunk with a dictionary of its own.
        parts = [chunk.dictionary_encode() for chunk in chunks.column(name).chunks]
        encoded = encoded.set_column(encoded.schema.get_field_index(name), name, pa.chunked_array(parts))
    assert transform.ids(chunks).tolist() == expected
    assert transform.ids(encoded).tolist() == expected
    assert transform.ids(normalize_table(spec, chunks)).tolist() == expected
    assert Transform.fit(spec, encoded) == transform
    assert transform.ids(table.slice(1)).tolist() == expected[1:], "a slice has an offset into its buffers"


@CAREFULLY
@given(training=ROWS, rows=ROWS)
def test_saved_and_loaded_is_the_same(spec: DatasetSpec, training: list[Any], rows: list[Any]) -> None:
    transform = Transform.fit(spec, _table(training))
    with tempfile.TemporaryDirectory() as folder:
        transform.save(Path(folder))
        loaded = Transform.load(Path(folder))
    assert loaded.layout == transform.layout
    assert [c.tolist() for c in loaded.counts] == [c.tolist() for c in transform.counts]
    assert loaded.ids(_table(rows)).tolist() == transform.ids(_table(rows)).tolist()
    assert [loaded.values(n) for n in spec.field_names] == [transform.values(n) for n in spec.field_names]


@CAREFULLY
@given(training=ROWS, rows=ROWS)
def test_ids_lie_in_their_tables_and_counts_add_up(spec: DatasetSpec, training: list[Any], rows: list[Any]) -> None:
    transform = Transform.fit(spec, _table(training))
    layout = transform.layout
    for ids in (transform.ids(_table(rows)), transform.ids(_table(training))):
        assert (ids >= 0).all()
        assert (ids < np.array(layout.vocab_sizes)[layout.slot_fields]).all()
        padded = ids[:, layout.slot_fields == 4]
        assert (padded[:, 0] != PAD).all(), "the first slot is never empty"
        assert (np.diff(padded == PAD, axis=1).sum(axis=1) <= 1).all(), "PAD comes last"
    single = [f for f in range(layout.field_count) if layout.slots[f] == 1]
    assert [int(transform.counts[f].sum()) for f in single] == [len(training)] * len(single)


@CAREFULLY
@given(rows=ROWS)
def test_training_values_with_enough_rows_get_their_own_ids(spec: DatasetSpec, rows: list[Any]) -> None:
    ids = Transform.fit(spec, _table(rows)).ids(_table(rows))
    for column, name, min_count in ((0, "code", 1), (1, "word", 2)):
        values = [row[name] for row in rows]
        for number, value in enumerate(values):
            if value is None:
                assert ids[number, column] == NULL
            else:
                assert (ids[number, column] >= FIRST) == (values.count(value) >= min_count)
                same = [other for other in range(len(rows)) if values[other] == value]
                assert len(set(ids[same, column].tolist())) == 1
