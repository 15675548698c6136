from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feast import FeatureView

from llactr import store
from llactr.errors import DataError, InputError, NotReadyError, StoreError
from llactr.store import OnlineReader
from tests.store.store_workspace import TIMESTAMP, Offline, at, small, vectors_for


def served(tmp_path: Path, config: Path) -> tuple[Offline, OnlineReader]:
    offline = small(tmp_path)
    for version, seed in (("v1", 1), ("v2", 2)):
        store.write_field_vectors(offline.workspace, vectors_for(offline.spec, version, seed=seed))
        store.release(offline.workspace, "small", version)
    store.apply(offline.workspace, config=config)
    store.materialize(offline.workspace, config=config)
    return offline, OnlineReader(offline.workspace, offline.spec, config=config)


def requests(users: list[Any], items: list[Any], **more: Any) -> pa.Table:
    times = pa.array([at(200)] * len(users), TIMESTAMP)
    return pa.table(
        {"user_id": users, "item_id": items, "event_timestamp": times, "device": ["tv"] * len(users)} | more
    )


def test_online_rows_equal_offline_rows(tmp_path: Path, store_config: Path) -> None:
    offline, reader = served(tmp_path, store_config)
    offline_rows = store.training_rows(offline.workspace, offline.spec, config=store_config)
    online_rows = reader.features(offline_rows.select(["user_id", "item_id", "event_timestamp", "device"]))
    assert online_rows.schema.equals(offline_rows.select(online_rows.column_names).schema)
    assert online_rows.equals(offline_rows.select(online_rows.column_names))
    missing = set(offline_rows.column_names) - set(online_rows.column_names)
    assert missing == {"label", "semantics_version"}


def test_repeated_unknown_and_null_keys(tmp_path: Path, store_config: Path) -> None:
    _, reader = served(tmp_path, store_config)
    users = ["u2", "nobody", None, "u2", "u3", "u1"]
    table = reader.features(requests(users, ["i1", "i2", "i1", "nothing", None, "i1"]))
    assert table["user_id"].to_pylist() == users
    assert table["age"].to_pylist() == [41.5, None, None, 41.5, None, 30.0]
    assert table["occupation"].to_pylist() == ["", None, None, "", None, "writer"]
    assert table["genres"].to_pylist() == ["a|b", None, "a|b", None, None, "a|b"]
    assert [t if t is None else t.year for t in table["joined"].to_pylist()] == [1969, None, None, 1969, None, 2020]
    assert table["device"].to_pylist() == ["tv"] * 6


def test_no_rows_give_an_empty_table_of_the_same_types(tmp_path: Path, store_config: Path) -> None:
    _, reader = served(tmp_path, store_config)
    full, empty = reader.features(requests(["u1"], ["i1"])), reader.features(requests(["u1"], ["i1"]).slice(0, 0))
    assert empty.num_rows == 0
    assert empty.schema.equals(full.schema)


def test_numbers_as_keys_and_categories_are_spelt_as_at_ingest(tmp_path: Path, store_config: Path) -> None:
    offline = small(tmp_path)
    before = {"event_timestamp": [at(-24)], "created_timestamp": [at(-24)]}
    offline.add("user", {"user_id": ["25"], "age": [3.0], "occupation": ["x"], "joined": [None]} | before)
    store.apply(offline.workspace, config=store_config)
    store.materialize(offline.workspace, config=store_config)
    reader = OnlineReader(offline.workspace, offline.spec, config=store_config)
    asked = requests([25, 25], ["i1", "i1"], device=pa.array([7.0, None]), user_id=pa.array([25, 25], pa.int32()))
    table = reader.features(asked)
    assert table["age"].to_pylist() == [3.0, 3.0]
    assert table["device"].to_pylist() == ["7", None]
    assert reader.current_release() is None


@pytest.mark.parametrize("ttl", [None, timedelta(seconds=1)], ids=["lasting", "expired"])
def test_values_equal_get_online_features(tmp_path: Path, store_config: Path, ttl: timedelta | None) -> None:
    """Present, missing, null and expired keys: the reader's shorter way through Feast changes no value."""
    offline, _ = served(tmp_path, store_config)
    feast_store = store.open_store(offline.workspace, config=store_config)
    if ttl is not None:
        views = [copy.copy(feast_store.get_feature_view(name)) for name in ("small__user", "small__item")]
        for view in views:
            view.ttl = ttl
        feast_store.apply(views)
        assert isinstance(views[0], FeatureView)
    reader = OnlineReader(offline.workspace, offline.spec, config=store_config)
    users, items = ["u1", "u2", "u3", "nobody", "u1"], ["i1", "i2", "nothing", "i1", "i2"]
    refs = [
        "small__user:age",
        "small__user:occupation",
        "small__user:joined",
        "small__item:title",
        "small__item:genres",
    ]
    rows = [{"user_id": user, "item_id": item} for user, item in zip(users, items, strict=True)]
    theirs = feast_store.get_online_features(features=refs, entity_rows=rows).to_dict()
    ours = reader.features(requests(users, items))
    for name in ("age", "occupation", "title", "genres"):
        assert ours[name].to_pylist() == theirs[name], name
    moments = [None if t is None else t.timestamp() for t in ours["joined"].to_pylist()]
    assert moments == [None if t is None else t.timestamp() for t in theirs["joined"]]
    assert ours["age"].to_pylist() == [30.0, 41.5, None, None, 30.0]


def test_vectors_of_two_versions_live_side_by_side(tmp_path: Path, store_config: Path) -> None:
    offline, reader = served(tmp_path, store_config)
    assert reader.current_release() == "v2"
    for version, seed in (("v1", 1), ("v2", 2)):
        expected, read = vectors_for(offline.spec, version, seed=seed), reader.field_vectors(version)
        assert np.array_equal(read.vectors, expected.vectors)
        assert (read.fields, read.descriptions, read.encoder, read.version) == (
            expected.fields, expected.descriptions, "test-encoder", version,
        )  # fmt: skip
    with pytest.raises(
        NotReadyError, match=r"the online store has no vector of semantics version 'v3'.*'llactr materialize'"
    ):
        reader.field_vectors("v3")


def test_a_release_is_seen_after_the_next_materialization(tmp_path: Path, store_config: Path) -> None:
    offline, reader = served(tmp_path, store_config)
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v3", seed=3))
    store.release(offline.workspace, "small", "v3")
    assert reader.current_release() == "v2"
    store.materialize(offline.workspace, config=store_config)
    assert reader.current_release() == "v3"
    assert reader.field_vectors("v3").version == "v3"


def test_a_correction_that_keeps_its_event_time_arrives_online(tmp_path: Path, store_config: Path) -> None:
    offline, reader = served(tmp_path, store_config)
    row = {"user_id": ["u1"], "age": [31.0], "occupation": [None], "joined": [None]}
    offline.add("user", row | {"event_timestamp": [at(-24)], "created_timestamp": [at(50)]})
    store.materialize(offline.workspace, config=store_config)
    table = reader.features(requests(["u1"], ["i1"]))
    assert (table["age"][0].as_py(), table["occupation"][0].as_py(), table["joined"][0].as_py()) == (31.0, None, None)


def test_many_threads_read_the_same_values(tmp_path: Path, store_config: Path) -> None:
    _, reader = served(tmp_path, store_config)
    asked = requests(["u1", "u2", "u3", "x"] * 20, ["i1", "i2"] * 40)
    expected = reader.features(asked)
    with ThreadPoolExecutor(8) as pool:
        assert all(table.equals(expected) for table in pool.map(lambda _: reader.features(asked), range(40)))


def test_bad_requests_are_named(tmp_path: Path) -> None:
    _, reader = served(tmp_path, store.REPOSITORY / "feature_store.yaml")
    good = requests(["u1"], ["i1"])
    with pytest.raises(DataError, match=r"have 0 columns 'item_id', expected one: they have user_id, event_timestamp"):
        reader.features(good.drop_columns(["item_id"]))
    with pytest.raises(DataError, match=r"have 0 columns 'device'"):
        reader.features(good.drop_columns(["device"]))
    naive = good["event_timestamp"].cast(pa.timestamp("us"))
    with pytest.raises(DataError, match=r"event_timestamp has type timestamp\[us\], expected timestamps with a zone"):
        reader.features(good.set_column(2, "event_timestamp", naive))
    with pytest.raises(DataError, match=r"user_id"):
        reader.features(good.set_column(0, "user_id", pa.array([[1, 2]])))


def test_before_apply_and_before_materialize(tmp_path: Path) -> None:
    offline = small(tmp_path)
    with pytest.raises(NotReadyError, match=r"run 'llactr apply'"):
        OnlineReader(offline.workspace, offline.spec)
    store.apply(offline.workspace)
    reader = OnlineReader(offline.workspace, offline.spec)
    assert reader.features(requests(["u1"], ["i1"]))["age"].to_pylist() == [None]
    (offline.workspace.feast / "online.db").unlink()
    (offline.workspace.feast / "online.db").mkdir()
    with pytest.raises(
        StoreError, match=r"failed while reading 1 keys of 'small__user' online.*see that the online store runs"
    ):
        OnlineReader(offline.workspace, offline.spec).features(requests(["u1"], ["i1"]))


def test_a_dataset_that_was_not_applied_is_named(tmp_path: Path) -> None:
    offline, _ = served(tmp_path, store.REPOSITORY / "feature_store.yaml")
    other = offline.spec.model_copy(update={"name": "another"})
    with pytest.raises(
        NotReadyError, match=r"feature view 'another__user' of 'another' is not registered: run 'llactr apply'"
    ):
        OnlineReader(offline.workspace, other)


@pytest.mark.redis
def test_a_redis_that_is_down_is_a_store_error(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLACTR_REDIS", redis_address)
    config = store.REPOSITORY / "feature_store.redis.yaml"
    offline, _ = served(tmp_path, config)
    monkeypatch.setenv("LLACTR_REDIS", "127.0.0.1:1")
    reader = OnlineReader(offline.workspace, offline.spec, config=config)
    with pytest.raises(StoreError, match=r"reading 1 keys of 'small__user' online \(ConnectionError"):
        reader.features(requests(["u1"], ["i1"]))


def test_the_variable_of_the_redis_config_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLACTR_REDIS", raising=False)
    offline = small(tmp_path)
    with pytest.raises(
        InputError, match=r"feature_store.redis.yaml reads the environment variable LLACTR_REDIS: set it"
    ):
        OnlineReader(offline.workspace, offline.spec, config=store.REPOSITORY / "feature_store.redis.yaml")
