"""Rows of dead versions leave the online store, on SQLite and on a real Redis; what is live, pinned or served stays."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llactr.ctr import Bundle
from llactr.lifecycle.garbage import collect
from llactr.lifecycle.promotions import promote
from llactr.lifecycle.running import Registration
from llactr.store import OnlineReader, apply, materialize, training_rows, write_field_vectors
from llactr.store.events import LoggedEvent, Pusher
from llactr.store.feast import expire
from llactr.store.feast.expire import expire_versions
from llactr.store.feast.open import open_store
from llactr.store.tables import FIELD_SEMANTICS
from llactr.workspace import Workspace
from tests.redis_cluster import Cluster
from tests.serving.history_workspace import build_history
from tests.serving.serving_asgi import started
from tests.serving.serving_process import Redis
from tests.serving.serving_workspace import (
    CLUSTER_CONFIG,
    EVENTS,
    REDIS_CONFIG,
    START,
    add_bundle,
    release_version,
    spec_of,
    vectors_for,
)

STORES = [
    "sqlite",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("cluster", marks=[pytest.mark.redis, pytest.mark.slow]),
]
LATER = START + timedelta(minutes=17 * (EVENTS + 10))


@dataclass(frozen=True)
class Store:
    """An online store, and a look at every byte of it."""

    kind: str
    config: Path | None

    def holds(self, workspace: Workspace, text: str) -> bool:
        """Whether a key or value anywhere in it holds a text."""
        if self.kind == "sqlite":
            return text.encode() in (workspace.feast / "online.db").read_bytes()
        store = open_store(workspace, config=self.config)
        client: Any = store.provider.online_store._get_client(store.config.online_store)  # type: ignore[attr-defined]
        for key in client.scan_iter(count=1000):
            content = client.hgetall(key) if client.type(key) == b"hash" else {}
            if any(text.encode() in part for part in (key, *content, *content.values())):
                return True
        return False


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty one, which commands take for the configured one."""
    if request.param == "sqlite":
        yield Store("sqlite", None)
        return
    server = Redis.start() if request.param == "redis" else Cluster.start()
    config = REDIS_CONFIG if request.param == "redis" else CLUSTER_CONFIG
    monkeypatch.setenv("LLACTR_REDIS", server.address)
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(config))
    yield Store(request.param, config)
    server.stop()


def promoted(workspace: Workspace, name: str) -> None:
    promote(workspace, "shop", workspace.artifact("bundles", name))


def scores(workspace: Workspace, bundle: str, **more: Any) -> Any:
    body = {"user": "u1", "items": ["1", "2", "3"], "timestamp": LATER.isoformat()} | more
    with started(workspace, bundle=bundle) as asgi:
        answer = asgi.ask("POST", "/v1/rank", body)
        assert answer.status == 200, answer.body
        return answer.json["scores"]


def test_vectors_of_a_dead_version_go_and_those_of_live_ones_stay(workspace: Workspace, store: Store) -> None:
    spec = spec_of()
    vectors = release_version(workspace, spec, "v-two", seed=99)
    apply(workspace, config=store.config)
    rows = training_rows(workspace, spec, with_release=False, config=store.config)
    add_bundle(workspace, spec, rows, vectors, "third", seed=1)
    materialize(workspace, config=store.config)
    before = scores(workspace, "third")
    assert store.holds(workspace, "v-one")
    promoted(workspace, "third")
    workspace.set_current("shop", "train", workspace.artifact("bundles", "third"))
    for path in workspace.semantics_table("semantics_release").glob("shop@000001.parquet"):
        path.unlink()  # the release of v-one: as after the history that it was for is gone
    entry = Registration(workspace, follows=False)
    assert entry.tell("shop", [workspace.artifact("bundles", "first")])
    _, removed = collect(workspace, keep=0)
    assert removed == {}, "a service uses it"
    assert scores(workspace, "first") != before
    entry.close()
    _, removed = collect(workspace, keep=0)
    assert removed == {"field_semantics": len(spec.fields)}
    assert not store.holds(workspace, "v-one")
    assert OnlineReader(workspace, spec, config=store.config).field_vectors("v-two").version == "v-two"
    assert scores(workspace, "third") == pytest.approx(before, abs=1e-6)
    assert collect(workspace, keep=0)[1] == {}


def test_versions_die_in_any_order_and_a_collection_may_be_interrupted(
    workspace: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of several collections, some of which end before or after their rows went, the living are there."""
    spec, draw = spec_of(), random.Random(5)
    names = [f"w-{number:04d}" for number in range(6)]
    for number, name in enumerate(names):
        write_field_vectors(workspace, vectors_for(spec, name, seed=number))
    apply(workspace, config=store.config)
    materialize(workspace, config=store.config)
    alive = {*names, "v-one"}
    real = expire.forget_rows

    def ends(after: bool) -> Callable[..., None]:
        def forget(*arguments: Any) -> None:
            if after:
                real(*arguments)
            raise KeyboardInterrupt

        return forget

    for turn in range(5):
        dead = set(draw.sample(sorted(alive - {"v-one"}), 1))
        alive -= dead
        listed = {FIELD_SEMANTICS: {f"shop@{name}" for name in alive}}
        if turn % 2:
            with monkeypatch.context() as patch:
                patch.setattr(expire, "forget_rows", ends(after=turn == 3))
                with pytest.raises(KeyboardInterrupt):
                    expire_versions(workspace, listed)
        assert expire_versions(workspace, listed) == {FIELD_SEMANTICS: len(spec.fields)}
        assert expire_versions(workspace, listed) == {}
        reader = OnlineReader(workspace, spec, config=store.config)
        for number, name in enumerate(names):
            assert store.holds(workspace, name) == (name in alive)
            if name in alive:
                assert (reader.field_vectors(name).vectors == vectors_for(spec, name, seed=number).vectors).all()


@pytest.fixture(scope="module")
def built_history(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return build_history(tmp_path_factory.mktemp("history-gc") / "ws")


def test_states_of_a_dead_history_go_with_those_that_pushed_events_made(
    built_history: Workspace, tmp_path: Path, store: Store
) -> None:
    """`past` is dead; states of a user whom only a pushed event knows are in no list, and go as well."""
    shutil.copytree(built_history.root, tmp_path / "ws")
    workspace, spec = Workspace.at(tmp_path / "ws"), spec_of()
    bundles = {name: Bundle.load(workspace.artifact("bundles", name)) for name in ("past", "other")}
    definitions = {one.history.version: one.history for one in bundles.values() if one.history is not None}
    dead, living = definitions
    apply(workspace, config=store.config)
    materialize(workspace, config=store.config)
    pusher = Pusher(workspace, spec, open_store(workspace, config=store.config), definitions)
    event = LoggedEvent(user="brand-new", item="2", time=int(LATER.timestamp() * 1e6), outcome=1.0)
    assert pusher.push([event]).counted is not None
    pusher.close()
    later = (LATER + timedelta(hours=1)).isoformat()
    before = scores(workspace, "other", user="brand-new", timestamp=later)
    for name in ("past", "other"):
        promoted(workspace, name)
    workspace.set_current("shop", "train", workspace.artifact("bundles", "other"))
    assert store.holds(workspace, dead)
    plan, removed = collect(workspace, keep=0)
    assert "bundles/past" in {one.what for one in plan.removed}
    users, items = 42, len({*map(str, range(305))})  # as `events_columns` draws them; the marks list who came
    assert set(removed) == {"shop__user_history", "shop__item_history"}
    assert removed["shop__user_history"] <= users + 1
    assert removed["shop__item_history"] <= items
    assert not store.holds(workspace, dead), "rows, notes and positions"
    assert store.holds(workspace, living)
    assert scores(workspace, "other", user="brand-new", timestamp=later) == pytest.approx(before, abs=1e-6)
    assert collect(workspace, keep=0)[1] == {}
