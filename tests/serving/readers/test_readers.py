"""What the fast readers read is what Feast's own `get_online_features` says: present, missing, null and expired keys."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore, RepoConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from llactr.serving.marked import MarkedReader, open_reader
from llactr.serving.readers.base import StoreAwayError, StoreReader
from llactr.serving.readers.feast import FeastReader
from llactr.serving.readers.redis import RedisReader
from llactr.serving.readers.redis_cluster import RedisClusterReader
from llactr.serving.readers.sqlite import SqliteReader
from llactr.serving.views import Row, entity_views
from llactr.store import OnlineReader, open_store
from llactr.workspace import Workspace
from tests.serving.serving_process import Redis
from tests.serving.serving_workspace import CLUSTER_CONFIG, REDIS_CONFIG, spec_of

SPEC = spec_of()
VIEWS = entity_views(SPEC)


class Store:
    """An online store with its Feast store, and the readers that can read it."""

    def __init__(self, workspace: Workspace, config: Path | None) -> None:
        self.workspace = workspace
        self.config = config
        self.feast: FeatureStore = open_store(workspace, config=config)

    def reader(self, version: str = "v-one") -> MarkedReader:
        return open_reader(self.workspace, SPEC, semantics_version=version, feast_config=self.config)

    def stock_reader(self) -> StoreReader:
        return FeastReader(self.feast, timeout_s=5, spent=lambda _: None)

    def write(self, owner: str, key: str, values: dict[str, Value], moment: datetime) -> None:
        view = self.feast.get_feature_view(VIEWS[owner].view)
        entity = EntityKey(join_keys=[VIEWS[owner].join_key], entity_values=[Value(string_val=key)])
        self.feast.provider.online_write_batch(self.feast.config, view, [(entity, values, moment, moment)], None)


@pytest.fixture(params=["sqlite", *(pytest.param(one, marks=pytest.mark.redis) for one in ("redis", "cluster"))])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "sqlite":
        yield Store(request.getfixturevalue("workspace"), None)
        return
    workspace = request.getfixturevalue(f"{request.param}_workspace")
    monkeypatch.setenv("LLACTR_REDIS", request.getfixturevalue(request.param).address)
    yield Store(workspace, REDIS_CONFIG if request.param == "redis" else CLUSTER_CONFIG)


def read(reader: StoreReader | MarkedReader, owner: str, keys: list[str]) -> list[Row]:
    async def work() -> list[Row]:
        await reader.connect()
        try:
            return (await reader.read([(VIEWS[owner], keys)]))[0]
        finally:
            await reader.close()

    return asyncio.run(work())


def plain(row: Row, features: tuple[str, ...]) -> dict[str, Any]:
    """A row in the terms of `to_dict`."""
    if row is None:
        return dict.fromkeys(features)
    values = {}
    for name, stored in zip(features, row, strict=True):
        value = Value.FromString(stored or b"")
        kind = value.WhichOneof("val")
        values[name] = getattr(value, kind) if kind else None
    return values


def stock(store: Store, owner: str, keys: list[str]) -> list[dict[str, Any]]:
    view = VIEWS[owner]
    refs = [f"{view.view}:{feature}" for feature in view.features]
    response = store.feast.get_online_features(refs, [{view.join_key: key} for key in keys])
    names = response.proto.metadata.feature_names.val
    columns = {}
    for name, column in zip(names, response.proto.results, strict=True):
        kinds = [value.WhichOneof("val") for value in column.values]
        columns[name] = [getattr(v, k) if k else None for v, k in zip(column.values, kinds, strict=True)]
    return [{name: columns[name][row] for name in view.features} for row in range(len(keys))]


def test_the_reader_is_the_fast_one(store: Store) -> None:
    kind = {None: SqliteReader, REDIS_CONFIG: RedisReader, CLUSTER_CONFIG: RedisClusterReader}[store.config]
    assert isinstance(store.reader().raw, kind)


@pytest.mark.parametrize("owner", ["user", "item"])
def test_values_are_those_of_get_online_features(store: Store, owner: str) -> None:
    known = [f"u{n}" for n in range(40)] if owner == "user" else [str(n) for n in range(300)]
    keys = [*known, "missing", "ключ \u0000 with\r\nbreaks", *known[:5]]
    found = [plain(row, VIEWS[owner].features) for row in read(store.reader(), owner, keys)]
    expected = stock(store, owner, keys)
    assert found == expected
    assert any(None in row.values() for row in expected[: len(known)])  # some are null
    assert read(store.reader(), owner, keys) == read(store.stock_reader(), owner, keys)


def test_expired_keys_are_what_feast_says(store: Store) -> None:
    # A view's ttl: here 200 years, and Feast's online reads do not look at it; the value is what it is.
    old = datetime(1850, 1, 1, tzinfo=UTC)
    store.write("user", "ancient", {"age": Value(double_val=7.0), "occupation": Value(string_val="smith")}, old)
    row = read(store.reader(), "user", ["ancient"])[0]
    assert plain(row, VIEWS["user"].features) == stock(store, "user", ["ancient"])[0]
    assert plain(row, VIEWS["user"].features)["occupation"] == "smith"


@pytest.mark.redis
def test_keys_that_redis_let_expire_are_missing(
    redis: Redis, redis_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redis import Redis as Client

    monkeypatch.setenv("LLACTR_REDIS", redis.address)
    store = Store(redis_workspace, REDIS_CONFIG)
    content = store.feast.config.model_dump(by_alias=True)
    content["online_store"] = store.feast.config.online_store.model_dump() | {"key_ttl_seconds": 3600}
    expiring = RepoConfig(
        **{k: v for k, v in content.items() if v is not None} | {"registry": store.feast.config.registry}
    )
    entity = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val="brief")])
    view = store.feast.get_feature_view(VIEWS["user"].view)
    values = {"age": Value(double_val=1.0), "occupation": Value(string_val="x")}
    now = datetime.now(UTC)
    store.feast.provider.online_store.online_write_batch(expiring, view, [(entity, values, now, now)], None)
    assert plain(read(store.reader(), "user", ["brief"])[0], VIEWS["user"].features)["age"] == 1.0
    with Client(port=redis.port) as client:
        (key,) = client.keys("*brief*")
        assert 0 < client.pttl(key) <= 3_600_000
        client.pexpire(key, 1)  # its time is over, however slow this machine is
        while client.exists(key):
            time.sleep(0.01)
    assert read(store.reader(), "user", ["brief"]) == [None]
    assert stock(store, "user", ["brief"]) == [{"age": None, "occupation": None}]


def test_a_rewritten_value_is_read(store: Store) -> None:
    now = datetime.now(UTC)
    for age in (1.0, 2.0):
        store.write("user", "changing", {"age": Value(double_val=age), "occupation": Value()}, now)
        now += timedelta(seconds=1)
        row = plain(read(store.reader(), "user", ["changing"])[0], VIEWS["user"].features)
        assert row == {"age": age, "occupation": None}
        assert [row] == stock(store, "user", ["changing"])


def test_a_store_without_the_bundles_vectors_is_away(store: Store) -> None:
    reader = store.reader(version="never-materialized")

    async def work(step: Callable[[], Awaitable[object]]) -> None:
        try:
            await reader.connect()
            await step()
        finally:
            await reader.close()

    with pytest.raises(StoreAwayError, match=r"never-materialized.*run 'llactr materialize'"):
        asyncio.run(work(reader.probe))


def test_many_reads_at_once_get_their_own_rows(store: Store) -> None:
    async def work() -> None:
        reader = store.reader()
        await reader.connect()
        try:
            asked = [[str((start * 7 + n) % 320) for n in range(50)] for start in range(40)]
            found = await asyncio.gather(
                *(reader.read([(VIEWS["item"], keys), (VIEWS["user"], ["u1"])]) for keys in asked)
            )
            everything = (await reader.read([(VIEWS["item"], [str(n) for n in range(320)])]))[0]
            for keys, (items, users) in zip(asked, found, strict=True):
                assert items == [everything[int(key)] for key in keys]
                assert len(users) == 1
        finally:
            await reader.close()

    asyncio.run(work())


def test_the_online_reader_of_the_library_agrees(store: Store) -> None:
    vectors = OnlineReader(store.workspace, SPEC, config=store.config).field_vectors("v-one")
    assert vectors.fields == SPEC.field_names


def test_a_sqlite_file_that_was_replaced_is_opened_anew(workspace: Workspace) -> None:
    store = Store(workspace, None)
    path = workspace.feast / "online.db"

    async def work(step: Callable[[], None]) -> list[Row]:
        reader = store.reader()
        await reader.connect()
        try:
            await reader.read([(VIEWS["user"], ["u1"])])
            step()
            return (await reader.read([(VIEWS["user"], ["u1"])]))[0]
        finally:
            await reader.close()

    with pytest.raises(StoreAwayError, match=r"online\.db does not answer"):
        asyncio.run(work(lambda: os.rename(path, f"{path}.away")))
    os.rename(f"{path}.away", path)
    assert asyncio.run(work(lambda: None))[0] is not None
