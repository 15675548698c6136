"""Random histories: the ASOF store against Feast's own DuckDB store, and against an oracle that looks at every row."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from feast.types import Int64, String
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from llactr.store.asof.join import Limits
from tests.store.asof.asof_world import USER_FEATURES, USERS, at, frame, joined, oracle, user, view, write

_PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=_PHASES)
many = settings(few, max_examples=120)

hours = st.integers(0, 6)
keys = st.sampled_from(["u1", "u11", "1", "", "ü", None])
floats = st.one_of(st.none(), st.floats(-10, 10, width=32))
vectors = st.one_of(st.none(), st.lists(st.floats(-1, 1, width=32), max_size=3))


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows with ties in time, late corrections, null keys, null features and null creation times."""
    rows = []
    for _ in range(draw(st.integers(0, 25))):
        moment = draw(hours)
        rows.append(
            {
                "user": draw(keys),
                "score": draw(floats),
                "city": draw(st.sampled_from(["Oslo", "", "Rome's", None])),
                "vector": draw(vectors),
                "event_timestamp": at(moment),
                "created": at(draw(st.one_of(st.none(), st.integers(moment, 8)))),
            }
        )
    return rows


entity_rows = st.lists(st.tuples(keys, st.one_of(st.none(), st.integers(-1, 9))), min_size=1, max_size=12)


def by_row(job: Any) -> list[dict[str, Any]]:
    return sorted(job.to_arrow().to_pylist(), key=lambda row: row["row"])


def types(table: pa.Table) -> list[str]:
    """DuckDB calls what is in a list `l`, Arrow and some of Feast's results call it `item`."""
    return [str(kind).replace("<l: ", "<item: ") for kind in table.schema.types]


def without_full_ties(history: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """Feast takes any one of rows that tie in these columns, so that there is nothing to compare."""
    return list({tuple(row[column] for column in columns): row for row in history}.values())


@few
@given(histories(), histories(), entity_rows, st.sampled_from([0, 2, 3]), st.booleans(), st.booleans(), st.booleans())
def test_all_columns_equal_stock(
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
    rows: list[tuple[Any, ...]],
    ttl_hours: int,
    created: bool,
    cut_off: bool,
    full: bool,
) -> None:
    ties = ("user", "event_timestamp", "created") if created else ("user", "event_timestamp")
    with tempfile.TemporaryDirectory() as folder:
        views = [
            view(
                name,
                write(Path(folder, f"{name}.parquet"), without_full_ties(history, *ties), USERS),
                [("user", String)],
                features,
                ttl_hours=ttl_hours,
                created=created,
            )
            for name, history, features in (("one", first, USER_FEATURES), ("two", second, USER_FEATURES[2:]))
        ]
        views = views if full else views[:1]
        entities = frame(rows, "user")
        ours = joined(views, entities, full=full, cut_off=cut_off).to_arrow()
        stock = joined(views, entities, full=full, cut_off=cut_off, stock=True)
        assert ours["row"].to_pylist() == list(range(len(rows)))
        assert ours.to_pylist() == by_row(stock)
        assert types(ours) == types(stock.to_arrow())


@many
@given(histories(), entity_rows, st.sampled_from([0, 2, 3]), st.booleans(), st.sampled_from([None, 0]), st.booleans())
def test_all_columns_equal_the_oracle(
    history: list[dict[str, Any]],
    rows: list[tuple[Any, ...]],
    ttl_hours: int,
    cut_off: bool,
    resident_bytes: int | None,
    two_files: bool,
) -> None:
    """Full ties included; features held in memory or, beyond their budget, in DuckDB; one file or a directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "users")
        middle = len(history) // 2 if two_files else len(history)
        write(path / "a.parquet", history[:middle], USERS)
        write(path / "b.parquet", history[middle:], USERS)
        users = view("users", path, [("user", String)], USER_FEATURES, ttl_hours=ttl_hours)
        with mock.patch.object(Limits, "resident_bytes", resident_bytes):
            result = joined([users], frame(rows, "user"), cut_off=cut_off).to_arrow().to_pylist()
    assert len(result) == len(rows)
    for row, (key, moment) in zip(result, rows, strict=True):
        seen = oracle(history, at(moment), {"user": key}, ttl_hours=ttl_hours, cut_off=cut_off) or {}
        assert {name: row[name] for name, _ in USER_FEATURES} == {name: seen.get(name) for name, _ in USER_FEATURES}


@few
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", "b"]), hours, st.integers(0, 99)), max_size=20),
    st.lists(
        st.tuples(st.sampled_from([0, 1, None]), st.sampled_from(["a", "b", None]), hours), min_size=1, max_size=8
    ),
    st.booleans(),
)
def test_two_keys_and_a_join_key_map_equal_stock(
    history: list[tuple[Any, ...]], rows: list[tuple[Any, ...]], mapped: bool
) -> None:

    stored = [
        {"shop": shop, "user": name, "n": n, "event_timestamp": at(moment), "created": at(moment)}
        for shop, name, moment, n in {row[:3]: row for row in history}.values()
    ]
    schema = {"shop": pa.int64(), "n": pa.int64(), **{k: USERS[k] for k in ("user", "event_timestamp", "created")}}
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "t.parquet"), stored, schema)
        visits = view("visits", path, [("shop", Int64), ("user", String)], [("n", Int64)])
        columns = ["shop", "user"]
        if mapped:
            visits = visits.with_name("friends").with_join_key_map({"shop": "their_shop", "user": "friend"})
            columns = ["their_shop", "friend"]
        entities = frame(rows, *columns)
        entities[columns[0]] = entities[columns[0]].astype("Int64")
        ours = joined([visits], entities, full=mapped).to_arrow().to_pylist()
        assert ours == by_row(joined([visits], entities, full=mapped, stock=True))
    for row, (shop, name, moment) in zip(ours, rows, strict=True):
        seen = oracle(stored, at(moment), {"shop": shop, "user": name}) or {}
        assert row["friends__n" if mapped else "n"] == seen.get("n")


@pytest.mark.parametrize("stock", [False, True])
def test_the_worked_example_of_ties_ttl_and_late_corrections(tmp_path: Path, stock: bool) -> None:
    history = [
        user("u", 0, 1.0),
        user("u", 2, 2.0),
        user("u", 2, 2.5, created=5),  # a correction of hour 2, known at hour 5
        user("u", 4, 4.0, created=7),  # of hour 4, known at hour 7
    ]
    users = view("users", write(tmp_path / "u.parquet", history, USERS), [("user", String)], USER_FEATURES, ttl_hours=3)
    moments = [-1, 0, 1, 2, 4, 5, 6, 7, 8]
    entities = frame([("u", moment) for moment in moments], "user")
    scores = {
        cut_off: [row["score"] for row in by_row(joined([users], entities, stock=stock, cut_off=cut_off))]
        for cut_off in (False, True)
    }
    assert scores[False] == [None, 1.0, 1.0, 2.5, 4.0, 4.0, 4.0, 4.0, None]
    assert scores[True] == [None, 1.0, 1.0, 2.0, 2.0, 2.5, None, 4.0, None]
