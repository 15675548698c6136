"""Sources on an object store: the rows of the same tables on the disk, joined, materialized and added to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FeatureView
from feast.types import String

from llactr import objects
from llactr.errors import NotReadyError
from llactr.store.asof.offline_store import AsofDuckDBOfflineStore
from tests.object_store import object_store
from tests.store.asof.asof_world import (
    START,
    USER_FEATURES,
    USERS,
    at,
    entity,
    feature_store,
    frame,
    joined,
    oracle,
    user,
    view,
)

KEYS = [("user", String)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with object_store("features") as found:
        yield found


def rows_of(seed: int, count: int = 60, *, ties: bool = True) -> list[dict[str, Any]]:
    """Whole hours, so that some tie; or each row at a time of its own: of ties Feast materializes any."""
    draw = np.random.default_rng(seed)
    return [
        user(
            f"u{draw.integers(8)}",
            float(draw.integers(40)) + (0 if ties else n / 100 + seed / 1e4),
            float(n),
            city=f"c{n}",
            vector=[float(n), 1.0],
        )
        for n in range(count)
    ]


def published(prefix: str, *parts: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Puts tables on the store, one object each; gives all their rows in the order of the objects."""
    for number, rows in enumerate(parts):
        file = folder / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(USERS)), file)
        objects.put(file, f"s3://features/{prefix}/part-{number}.parquet")
    return [row for rows in parts for row in rows]


def users_at(place: str, **more: Any) -> FeatureView:
    return view("users", place, KEYS, USER_FEATURES, **more)


def test_joined_rows_are_those_of_a_plain_loop(address: str, tmp_path: Path) -> None:
    history = published("one", rows_of(1), rows_of(2), rows_of(1)[:20], folder=tmp_path)
    asked = [(f"u{n % 9}", n / 3) for n in range(120)]
    found = joined([users_at("s3://features/one", ttl_hours=9)], frame(asked, "user")).to_arrow().to_pylist()
    seen = [oracle(history, at(hours), {"user": key}, ttl_hours=9) for key, hours in asked]
    assert [row["score"] for row in found] == [None if one is None else one["score"] for one in seen]
    assert [row["vector"] for row in found] == [None if one is None else one["vector"] for one in seen]
    assert len({row["score"] for row in found}) > 20


def test_a_source_without_objects_is_said(address: str) -> None:
    with pytest.raises(NotReadyError, match="no Parquet object at s3://features/none: write its table first"):
        joined([users_at("s3://features/none")], frame([("u1", 1)], "user")).to_arrow()


def test_a_view_is_materialized_and_grows_by_objects(address: str, tmp_path: Path) -> None:
    history = published("two", rows_of(3, ties=False), rows_of(4, ties=False), folder=tmp_path)
    made = users_at("s3://features/two", s3_endpoint_override=address)
    store: FeatureStore = feature_store(tmp_path / "repo", [entity("user"), made])

    def online(keys: list[str]) -> list[Any]:
        return store.get_online_features(["users:score"], [{"user": key} for key in keys]).to_dict()["score"]

    keys = [f"u{n}" for n in range(9)]
    store.materialize(START, START + timedelta(hours=50))
    newest = [oracle(history, at(50), {"user": key}) for key in keys]
    assert online(keys) == [None if one is None else one["score"] for one in newest]

    later = user("u8", 45, 99.0, city="new", vector=[0.0])
    table = pa.Table.from_pylist([later], schema=pa.schema(USERS))
    AsofDuckDBOfflineStore.offline_write_batch(store.config, store.get_feature_view("users"), table, None)
    places = objects.listed("s3://features/two")
    assert len(places) == 3, "a new object, and the others as they were"
    store.materialize(START, START + timedelta(hours=50))
    assert online(["u8"]) == [99.0]
    found = joined([made], frame([("u8", 44), ("u8", 46)], "user")).to_arrow()
    assert found["score"].to_pylist() == [None, 99.0]
