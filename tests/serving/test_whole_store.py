"""A store that is emptied, half filled, killed in its filling, or evicting never answers 200 with wrong scores."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.infra.online_stores.redis import RedisOnlineStore

from llactr.serving.views import entity_views
from llactr.store import apply, materialize, open_store
from llactr.store.feast.forget import forget_rows
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from llactr.store.keysets import KeySet
from llactr.store.marks import Mark, Marks
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_process import Redis
from tests.serving.serving_workspace import REDIS_CONFIG, spec_of

BODY = {"user": "u1", "items": [str(i) for i in range(20)], "timestamp": "2024-01-02T03:00:00Z"}


class Killed(BaseException):
    """Like a kill: no `except Exception` cleans up."""


class Place:
    """A workspace with its online store."""

    def __init__(self, workspace: Workspace, config: Path | None, redis: Redis | None) -> None:
        self.workspace, self.config, self.redis = workspace, config, redis

    def start(self, **settings: Any) -> Any:
        config = str(self.config) if self.config else None
        return started(self.workspace, feast_config=config, cache_ttl_s=0, probe_interval_s=0.05, **settings)

    def materialize(self) -> None:
        materialize(self.workspace, config=self.config)

    def empty(self) -> None:
        if self.redis is not None:
            self.redis.command("FLUSHALL")
            return
        with sqlite3.connect(self.workspace.feast / "online.db") as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                connection.execute(f'DELETE FROM "{table}"')

    def lose(self, owner: str, *keys: str) -> None:
        """Takes rows out behind the back of everybody, as an eviction does."""
        store = open_store(self.workspace, config=self.config)
        view = entity_views(spec_of())[owner]
        lost = KeySet.of(pa.table({view.join_key: pa.array(keys)}))
        forget_rows(store, store.get_feature_view(view.view), lost)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def place(request: pytest.FixtureRequest, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "sqlite":
        apply(workspace)  # the copy's own offline tables
        yield Place(workspace, None, None)
        return
    server = Redis.start()
    try:
        monkeypatch.setenv("LLACTR_REDIS", server.address)
        apply(workspace, config=REDIS_CONFIG)
        materialize(workspace, config=REDIS_CONFIG)
        yield Place(workspace, REDIS_CONFIG, server)
    finally:
        server.stop()


def on_write(monkeypatch: pytest.MonkeyPatch, view: str, act: Any) -> None:
    """Calls `act` once, half-way through the writing of a view."""
    for kind in (WorkspaceSqliteOnlineStore, RedisOnlineStore):
        write = kind.online_write_batch
        done: list[int] = []

        def halfway(self: Any, config: Any, table: Any, data: Any, progress: Any, write: Any = write, done: Any = done):
            if table.name != view or done:
                write(self, config, table, data, progress)
                return
            done.append(1)
            write(self, config, table, data[:5], progress)
            act()
            write(self, config, table, data[5:], progress)

        monkeypatch.setattr(kind, "online_write_batch", halfway)


def ask(asgi: Asgi) -> Any:
    return asgi.ask("POST", "/v1/rank", BODY)


def until_ready(asgi: Asgi, status: int) -> None:
    import asyncio

    for _ in range(200):
        if asgi.ask("GET", "/readyz").status == status:
            return
        asgi.runner.run(asyncio.sleep(0.05))
    raise AssertionError(f"/readyz never was {status}")


def test_a_store_that_is_filled_again_while_serving_is_refused_until_it_is_whole(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.start() as asgi:
        before = ask(asgi).json
        seen: list[int] = []
        place.empty()
        seen.append(ask(asgi).status)
        with monkeypatch.context() as patch:
            for view in ("shop__item", "shop__user"):
                on_write(patch, view, lambda: seen.append(ask(asgi).status))
            place.materialize()
        until_ready(asgi, 200)
        after = ask(asgi).json
    assert set(seen) == {503}
    assert len(seen) >= 2
    assert after["scores"] == pytest.approx(before["scores"], abs=1e-6)
    assert after["materialization"]["run"] != before["materialization"]["run"]


def test_a_materialization_that_was_killed_leaves_a_store_that_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.empty()

    def die() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        on_write(patch, "shop__user", die)
        with pytest.raises(Killed):
            place.materialize()
    with place.start() as asgi:
        answer = ask(asgi)
        assert answer.status == 503
        assert "llactr materialize" in answer.json["detail"]
        place.materialize()
        until_ready(asgi, 200)
        assert ask(asgi).status == 200


def test_evicted_entities_are_told_from_those_that_never_were(place: Place) -> None:
    with place.start() as asgi:
        never = asgi.ask("POST", "/v1/rank", BODY | {"items": ["nobody-has-heard-of", "1"]})
        assert (never.status, never.json["cold"]["item"]) == (200, 1)
        place.lose("item", "3")
        lost = ask(asgi)
        assert (lost.status, lost.json["type"]) == (503, "urn:llactr:problem:rows-lost")
        assert (
            "1 of 'shop__item' were materialized and are gone from the online store, such as '3'" in lost.json["detail"]
        )
        assert asgi.metric("llactr_lost_rows_total") == 1
        assert asgi.ask("POST", "/v1/rank", BODY | {"items": ["1", "2"]}).status == 200


def test_readyz_is_false_past_a_share_of_lost_rows(place: Place) -> None:
    with place.start() as asgi:
        until_ready(asgi, 200)
        place.lose("item", *(str(i) for i in range(100, 300)))
        until_ready(asgi, 503)
        assert "sampled rows of 'shop__item' are gone" in asgi.ask("GET", "/readyz").json["detail"]
        place.materialize()
        until_ready(asgi, 200)


def test_a_request_says_when_a_materialization_is_under_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with place.start() as asgi:
        assert ask(asgi).json["materialization"]["mixed"] is False
        seen: list[Any] = []
        with monkeypatch.context() as patch:
            on_write(patch, "shop__item", lambda: seen.append(ask(asgi).json["materialization"]["mixed"]))
            place.materialize()
        assert True in seen
        assert ask(asgi).json["materialization"]["mixed"] is False


@pytest.mark.redis
def test_the_eviction_policy_of_redis_is_said_at_start(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Redis.start()
    try:
        monkeypatch.setenv("LLACTR_REDIS", server.address)
        server.command("CONFIG", "SET", "maxmemory", "100mb")
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        apply(workspace, config=REDIS_CONFIG)
        materialize(workspace, config=REDIS_CONFIG)
        with started(workspace, feast_config=str(REDIS_CONFIG)):
            pass
        assert "maxmemory-policy allkeys-lru" in caplog.text
    finally:
        server.stop()


def test_a_store_emptied_while_it_is_filled_is_not_marked_whole(workspace: Workspace) -> None:
    apply(workspace)
    store = open_store(workspace)
    marks = Marks(store.config, store.provider.online_store)
    marks.begin(["shop__user"], "one")
    marks.begin(["shop__user"], "two")
    keys = KeySet.of(pa.table({"user_id": ["u1"]}))
    with pytest.raises(Exception, match="lost the mark of 'shop__user' while it was filled"):
        marks.complete("shop__user", "one", keys)
    marks.complete("shop__user", "two", keys)
    assert marks.read(["shop__user"])["shop__user"] == Mark(
        run="two", rows=1, parts=1, digest=marks.read(["shop__user"])["shop__user"].digest
    )


def test_more_keys_than_one_piece_holds(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llactr.store.marks._PART_KEYS", 7)
    apply(workspace)
    materialize(workspace)
    store = open_store(workspace)
    marks = Marks(store.config, store.provider.online_store)
    mark = marks.read(["shop__item"])["shop__item"]
    assert mark is not None
    assert (mark.rows, mark.parts) == (300, 43)  # 300 items, 7 a piece
    keys = marks.keys("shop__item", mark)
    assert keys is not None
    assert {row[0] for row in keys.rows()} == {str(i) for i in range(300)}
    prints = marks.prints("shop__item", mark)
    assert prints is not None
    assert len(prints) == 300


def test_a_materialization_without_marks_of_an_older_version_is_asked_for_again(workspace: Workspace) -> None:
    with sqlite3.connect(workspace.feast / "online.db") as connection:
        connection.execute("DROP TABLE llactr_materialization")
    with started(workspace) as asgi:
        assert "run 'llactr materialize'" in ask(asgi).json["detail"]


def test_a_row_that_left_the_sources_is_no_lost_one(place: Place) -> None:
    path = next(place.workspace.offline_table("shop", "item").glob("*.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.filter(pa.compute.not_equal(table["item_id"], "3")), path)
    place.materialize()
    with place.start() as asgi:
        answer = ask(asgi)
        assert (answer.status, answer.json["cold"]["item"]) == (200, 1)
