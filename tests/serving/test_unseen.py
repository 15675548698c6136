"""Values that training never saw are scored by their vectors, as soon as the store has them, as the offline path does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Value

from llactr.ctr import Bundle, TrainingSet, predict
from llactr.diagnostics.agreement import chosen_rows, offline_scores
from llactr.diagnostics.service_agreement import request_rows
from llactr.jobs import skew
from llactr.jobs.cli.console import Terminal
from llactr.serving.marked import MarkedReader, open_reader
from llactr.serving.readers.base import StoreAwayError, StoreReader
from llactr.serving.readers.feast import FeastReader
from llactr.serving.unseen import PlacedCache
from llactr.serving.views import Row, value_view
from llactr.steps import Job
from llactr.store import (
    OnlineReader,
    events_table,
    find_value_vectors,
    materialize,
    open_store,
    read_field_vectors,
    training_rows,
)
from llactr.transforms import OOV
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_process import Redis
from tests.serving.serving_workspace import REDIS_CONFIG
from tests.serving.unseen_workspace import (
    NEW_ITEMS,
    VALUES_VERSION,
    build_unseen,
    unseen_spec,
    vector_of,
    write_vectors,
)

MOMENT = {"timestamp": "2024-01-25T03:00:00Z", "context": {"Device (type)": "tv", "seconds": 12}}
BODY = {"user": "u3", "items": ["1", *NEW_ITEMS, "2"], "return_ids": True, **MOMENT}


@dataclass(frozen=True)
class Place:
    workspace: Workspace
    config: Path | None

    def start(self, **settings: object):
        return started(self.workspace, feast_config=self.config, **settings)

    def add_vectors(self, keys: list[tuple[str, str]]) -> None:
        write_vectors(self.workspace, keys)
        materialize(self.workspace, config=self.config)


@pytest.fixture
def place(unseen_workspace: Workspace) -> Place:
    return Place(unseen_workspace, None)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield request.getfixturevalue("place")
        return
    redis = Redis.start()  # of its own: what other tests left in a shared one may be newer than what is written here
    try:
        monkeypatch.setenv("LLACTR_REDIS", redis.address)
        monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(REDIS_CONFIG))
        yield Place(build_unseen(tmp_path / "redis-ws", feast_config=REDIS_CONFIG), REDIS_CONFIG)
    finally:
        redis.stop()


def by_hand(workspace: Workspace, asgi: Asgi, body: dict) -> list[float]:
    """Scores from the bundle with each unseen value's row written over the OOV row, one candidate at a time."""
    import torch

    answer = asgi.ask("POST", "/v1/rank", body | {"return_features": True}).json
    scores = []
    for row, ids in enumerate(answer["ids"]):
        bundle = Bundle.load(workspace.artifact("bundles", "valued"))
        layout = bundle.transform.layout
        assert bundle.values is not None
        for field in answer["placed"][row]:
            text = answer["features"][field]
            text = text[row] if len(text) > 1 else text[0]
            known = bundle.transform.values(field)
            word = next(word for word in text.split("|") if word not in known)
            projection = bundle.values.fields[field]
            z = (vector_of(field, word) - projection.pca.mean) @ projection.pca.components.T * projection.pca.scale
            oov = int(layout.offsets[layout.names.index(field)]) + OOV
            with torch.no_grad():
                bundle.model.embedding.weight[oov] += torch.from_numpy((z @ projection.embedding).astype(np.float32))
                bundle.model.embedding.linear[oov] += float(z @ projection.linear)
        scores.append(float(predict(bundle.model, np.array([ids], np.int32))[0]))
    return scores


def test_new_items_are_cold_until_their_vectors_are_materialized(anywhere: Place) -> None:
    with anywhere.start(cache_ttl_s=60) as asgi:
        before = asgi.ask("POST", "/v1/rank", BODY)
        assert before.status == 200, before.body
        assert before.json["unseen"] == {"placed": {}, "cold": {"item_id": 3, "title": 1, "genres": 1}}
        assert before.json["cold"] == {"user": 0, "item": 0}, "the store knows their features"
        anywhere.add_vectors([("item_id", "new-1"), ("item_id", "new-2"), ("genres", "q")])
        after = asgi.ask("POST", "/v1/rank", BODY | {"return_features": True})
        assert after.json["unseen"] == {
            "placed": {"item_id": 2, "genres": 1}, "cold": {"item_id": 1, "title": 1}
        }  # fmt: skip
        assert after.json["placed"] == [[], ["item_id", "genres"], ["item_id"], [], []]
        assert after.json["ids"] == before.json["ids"], "ids are those of the transform"
        old, new = before.json["scores"], after.json["scores"]
        assert [old[row] == new[row] for row in range(5)] == [True, False, False, True, True]
        assert new == pytest.approx(by_hand(anywhere.workspace, asgi, BODY), abs=1e-6)
        asgi.ask("POST", "/v1/rank", BODY)
        assert asgi.metric("llactr_unseen_values_total") > 0
        text = asgi.ask("GET", "/metrics").body.decode()
        assert 'llactr_unseen_values_total{field="item_id",outcome="placed"}' in text
        assert 'llactr_unseen_values_total{field="title",outcome="cold"}' in text


def test_all_events_score_as_offline_with_unseen_values_among_them(anywhere: Place) -> None:
    spec = unseen_spec()
    rows = training_rows(anywhere.workspace, spec, config=anywhere.config)
    built = TrainingSet.build(
        spec, rows, lambda version: read_field_vectors(anywhere.workspace, "shop", version, spec.field_names)
    )
    bundle = Bundle.load(anywhere.workspace.artifact("bundles", "valued"))
    chosen = chosen_rows(built, 10_000)
    assert np.array_equal(chosen, built.data.split.test)
    offline = offline_scores(anywhere.workspace, spec, bundle, chosen, config=anywhere.config)
    assert 0 < offline.rows_with_placed < len(chosen)
    events = events_table(anywhere.workspace, spec).take(chosen)
    with anywhere.start() as asgi:
        answer = asgi.ask("POST", "/v1/predict", {"rows": request_rows(events, spec), "return_ids": True}).json
    assert np.array_equal(np.array(answer["ids"]), offline.ids)
    assert np.abs(np.array(answer["scores"]) - offline.scores).max() <= 1e-6
    assert sum(answer["unseen"]["placed"].values()) == offline.placed
    # Without their vectors these rows score otherwise: the comparison says something.
    assert np.abs(predict(bundle.model, offline.ids) - offline.scores).max() > 1e-3


def test_the_library_reads_online_what_it_reads_offline(place: Place) -> None:
    wanted = {"item_id": ["1", "new-1", "nope"], "title": ["title 5"], "genres": []}
    online = OnlineReader(place.workspace, unseen_spec()).value_vectors(VALUES_VERSION, wanted)
    offline = find_value_vectors(place.workspace, unseen_spec(), VALUES_VERSION, wanted)
    assert {name: list(some) for name, some in offline.items()} == {"item_id": ["1"], "title": ["title 5"]}
    assert np.array_equal(online["item_id"]["1"], offline["item_id"]["1"])
    assert np.array_equal(offline["item_id"]["1"], vector_of("item_id", "1"))
    assert find_value_vectors(place.workspace, unseen_spec(), VALUES_VERSION, {"title": []}) == {}
    assert find_value_vectors(place.workspace, unseen_spec(), VALUES_VERSION, {"title": ["no such"]}) == {}


def test_every_reader_reads_the_same_vectors(anywhere: Place) -> None:
    spec = unseen_spec()
    view = value_view(spec, "item_id", VALUES_VERSION)
    store = open_store(anywhere.workspace, config=anywhere.config)
    fast = open_reader(anywhere.workspace, spec, semantics_version="v-one", feast_config=anywhere.config)
    stock = FeastReader(store, timeout_s=5, spent=lambda _: None)

    async def read(reader: StoreReader | MarkedReader) -> list[Row]:
        await reader.connect()
        try:
            return (await reader.read([(view, ["1", "nope", "2"])]))[0]
        finally:
            await reader.close()

    found = asyncio.run(read(fast))
    assert found == asyncio.run(read(stock))
    assert found[1] is None
    assert found[2] is not None
    vector = Value.FromString(found[2][0] or b"").float_list_val.val
    assert np.array_equal(np.array(vector, np.float32), vector_of("item_id", "2"))


def test_predict_and_rank_and_context_agree(place: Place) -> None:
    place.add_vectors([("item_id", "new-1"), ("Device (type)", "watch")])
    body = {"user": "u3", "items": ["new-1", "7", "new-1"], "timestamp": MOMENT["timestamp"]}
    with place.start() as asgi:
        context = {"Device (type)": "watch", "seconds": 12}
        ranked = asgi.ask("POST", "/v1/rank", body | {"context": context}).json
        assert ranked["unseen"]["placed"] == {"item_id": 1, "Device (type)": 1}
        rows = [
            {"user": "u3", "item": item, "timestamp": MOMENT["timestamp"], "context": context} for item in body["items"]
        ]
        rows.insert(1, {"user": "u4", "item": "new-1", "context": {"Device (type)": "phone"}})
        predicted = asgi.ask("POST", "/v1/predict", {"rows": rows, "return_features": True}).json
        assert predicted["placed"] == [
            ["item_id", "Device (type)"], ["item_id"], ["Device (type)"], ["item_id", "Device (type)"]
        ]  # fmt: skip
        del predicted["scores"][1]
        assert predicted["scores"] == pytest.approx(ranked["scores"], abs=1e-6)
        other = asgi.ask("POST", "/v1/rank", body | {"context": {"Device (type)": "phone", "seconds": 12}}).json
        assert other["scores"][1] != pytest.approx(ranked["scores"][1], abs=1e-6)
        best = asgi.ask("POST", "/v1/rank", body | {"top_k": 2, "return_features": True, "context": context}).json
        assert best["items"] == [body["items"][i] for i in np.argsort(-np.array(ranked["scores"]), kind="stable")[:2]]
        assert [("item_id" in fields) for fields in best["placed"]] == [item == "new-1" for item in best["items"]]


class CountedReads:
    """Counts reads, and views read, of a service's store."""

    def __init__(self, asgi: Asgi, monkeypatch: pytest.MonkeyPatch) -> None:
        self.views: list[list[str]] = []
        reader = asgi.service.main.reader
        read = reader.reading

        async def counted(wanted):
            self.views.append([view.view for view, _ in wanted])
            return await read(wanted)

        monkeypatch.setattr(reader, "reading", counted)


def test_one_batch_reads_all_vectors_and_none_is_read_without_need(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.add_vectors([("item_id", item) for item in NEW_ITEMS] + [("title", "brand new"), ("genres", "q")])
    with place.start(cache_ttl_s=60) as asgi:
        counted = CountedReads(asgi, monkeypatch)
        assert asgi.ask("POST", "/v1/rank", BODY | {"items": ["1", "2"]}).json["unseen"]["placed"] == {}
        assert counted.views == [["shop__user", "shop__item"]]
        counted.views.clear()
        assert asgi.ask("POST", "/v1/rank", BODY).json["unseen"]["cold"] == {}
        assert counted.views == [["shop__user", "shop__item"], ["value_semantics"] * 3]
        counted.views.clear()
        assert asgi.ask("POST", "/v1/rank", BODY).json["unseen"]["cold"] == {}
        assert counted.views == [["shop__user"]], "items and vectors come from the cache"
    with place.start(cache_ttl_s=0) as asgi:
        counted = CountedReads(asgi, monkeypatch)
        for _ in range(2):
            assert asgi.ask("POST", "/v1/rank", BODY).json["unseen"]["cold"] == {}
        assert counted.views == [["shop__user", "shop__item"], ["value_semantics"] * 3] * 2


def test_a_value_that_the_store_does_not_know_is_asked_for_each_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.start(cache_ttl_s=60) as asgi:
        counted = CountedReads(asgi, monkeypatch)
        for _ in range(2):
            assert asgi.ask("POST", "/v1/rank", BODY).json["unseen"]["cold"]["item_id"] == 3
        assert [views for views in counted.views if "value_semantics" in views] == [["value_semantics"] * 3] * 2


def test_a_store_that_goes_away_between_the_two_reads_is_503(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add_vectors([("item_id", "new-1")])
    with place.start(probe_interval_s=10) as asgi:
        reader = asgi.service.main.reader
        read = reader.read

        async def failing(wanted):
            if wanted[0][0].view == "value_semantics":
                raise StoreAwayError("the store is gone")
            return await read(wanted)

        async def gone() -> None:
            raise StoreAwayError("the store is gone")

        monkeypatch.setattr(reader, "read", failing)
        monkeypatch.setattr(reader, "probe", gone)
        answer = asgi.ask("POST", "/v1/rank", BODY)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert asgi.metric("llactr_store_failures_total") == 1
        assert asgi.ask("GET", "/readyz").status == 503


def test_skew_scores_logged_rows_again_with_the_offline_vectors(place: Place) -> None:
    place.add_vectors([("item_id", "new-1"), ("genres", "q")])
    with place.start(log_rate=1.0) as asgi:
        assert asgi.ask("POST", "/v1/rank", BODY).json["unseen"]["placed"] == {"item_id": 1, "genres": 1}
    found = skew.run(Job(place.workspace, Terminal()), "shop")
    assert found["holds"]
    assert found["rows"] == len(BODY["items"])
    assert found["scores"][0]["max_difference"] <= 1e-6


def test_the_model_names_the_values_version(place: Place, built: Workspace) -> None:
    with place.start() as asgi:
        assert asgi.ask("GET", "/v1/model").json["values_version"] == VALUES_VERSION
    with started(built) as plain:
        assert plain.ask("GET", "/v1/model").json["values_version"] is None
        assert "unseen" not in plain.ask("POST", "/v1/rank", {"user": "u1", "items": ["1", "nope"]}).json


def test_the_cache_forgets_the_oldest_and_the_stale() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    cache = PlacedCache(capacity=2, ttl_s=10)
    for number, value in enumerate("abc"):
        cache.put("title", value, rows[number], read_at_s=number)
    assert len(cache) == 2
    assert cache.get("title", "a", now_s=3) is None
    assert cache.get("genres", "b", now_s=3) is None
    assert np.array_equal(cache.get("title", "b", now_s=11), rows[1])
    assert cache.get("title", "b", now_s=11.1) is None
    cache.put("title", "b", rows[0], read_at_s=20)  # read again: the youngest now
    cache.put("title", "d", rows[2], read_at_s=21)
    assert np.array_equal(cache.get("title", "b", now_s=21), rows[0])
    assert cache.get("title", "c", now_s=12) is None
    nothing = PlacedCache(capacity=2, ttl_s=0)
    nothing.put("title", "a", rows[0], read_at_s=0)
    assert nothing.get("title", "a", now_s=0) is None
