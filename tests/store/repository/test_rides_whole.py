"""A repository of the user's own whole, with a person, a thing and two more entities: ranking, events and the past.

Their offline store is a class of their own; online it is SQLite, and Redis where there is one.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from llactr.history import HistoryDefinition
from llactr.jobs.cli.console import Terminal
from llactr.spec import DatasetSpec, HistorySpec, WindowField
from llactr.steps import Job
from llactr.store import apply, materialize, release, training_rows, write_field_vectors
from llactr.store.history import write_states
from llactr.store.ingested import dataset_spec
from llactr.store.repository import features as features_module
from llactr.store.repository.ingest import ingest
from llactr.workspace import Workspace
from tests.serving.history_workspace import add_history_bundle
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_workspace import vectors_for
from tests.store.repository.driver_stats import applied
from tests.store.repository.rides import DAYS, FEATURE_STORE, SPEC, START, events, write_repository
from tests.store.repository.test_rides import expected

NOW = START + timedelta(days=DAYS) - timedelta(minutes=90)
ROLES = (
    SPEC.replace("  driver: {join_key: driver_id}", "  item: {join_key: driver_id}")
    .replace("owner: driver,", "owner: item,")
    .replace("driver_id: driver}", "driver_id: item}")
)
PAST = HistorySpec(
    outcome_delay=0,
    last=20,
    fields=tuple(
        WindowField(name=f"{owner}_{measure}", description="past", kind="window", owner=owner, measure=measure)
        for owner in ("user", "item")
        for measure in ("count", "rate")
    ),
)


@dataclass(frozen=True)
class World:
    workspace: Workspace
    spec: DatasetSpec


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("whole")
    repo = write_repository(folder)
    (folder / "spec.yaml").write_text(ROLES, encoding="utf-8")
    if request.param == "redis":
        address = request.getfixturevalue("redis_address")
        with Redis(host=address.split(":")[0], port=int(address.split(":")[1])) as client:
            client.flushall()
        online = f"online_store:\n  type: redis\n  connection_string: {address}\n"
        text = FEATURE_STORE.replace("online_store:\n  type: sqlite\n  path: data/online_store.db\n", online)
        assert "redis" in text
        (repo / "feature_store.yaml").write_text(text, encoding="utf-8")
    before = list(sys.path)
    sys.path.append(str(repo))
    workspace = Workspace.at(folder / "workspace")
    store = applied(repo)
    ingest(Job(workspace, Terminal(as_json=True)), str(folder / "spec.yaml"))
    spec = dataset_spec(workspace, "rides")
    apply(workspace)
    vectors = vectors_for(spec, "0123456789abcdef")
    write_field_vectors(workspace, vectors)
    release(workspace, spec.name, vectors.version)
    definition = HistoryDefinition(PAST, 0.5, {})
    add_history_bundle(workspace, spec, definition, vectors, training_rows(workspace, spec), "whole", seed=3)
    write_states(workspace, spec, definition)
    apply(workspace)
    with contextlib.chdir(repo):  # as `feast materialize --views` does
        theirs = ["rider_profile", "driver_stats", "pair_stats", "zone_demand"]
        store.materialize(START - timedelta(days=9), START + timedelta(days=DAYS), feature_views=theirs)
    materialize(workspace)
    yield World(workspace, spec)
    sys.path[:] = before
    sys.modules.pop("rides_store", None)


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asgi]:
    monkeypatch.setattr(features_module, "now", lambda: NOW)
    with started(world.workspace, bundle="whole") as found:
        yield found


def test_a_ranking_names_the_other_entities_and_is_that_of_its_rows(world: World, service: Asgi) -> None:
    drivers = ["11", "12", "13", "77"]
    shared = {"user": "r1", "last": "12", "zone": 2, "timestamp": NOW.isoformat(), "context": {"fare": 7.5}}
    ranked = service.ask("POST", "/v1/rank", {**shared, "items": drivers, "return_features": True})
    assert ranked.status == 200, ranked.body
    rows = [{**shared, "item": driver} for driver in drivers]
    single = service.ask("POST", "/v1/predict", {"rows": rows, "return_features": True})
    assert single.status == 200, single.body
    assert ranked.json["scores"] == pytest.approx(single.json["scores"], abs=1e-6)
    assert len(set(ranked.json["scores"])) > 1
    for place, driver in enumerate(drivers):
        event = {"who": "r1", "driver_id": driver, "last_driver": "12", "zone_id": 2, "fare": 7.5}
        wanted = expected(event, NOW)
        for name in ("rides", "car", "together", "surged", "known"):
            assert ranked.json["features"][name][place] == wanted[name], (name, driver)
        assert single.json["features"]["last_rides"][place] == wanted["last_rides"]
    lacking = service.ask("POST", "/v1/rank", {k: v for k, v in shared.items() if k != "zone"} | {"items": drivers})
    assert lacking.status == 422
    assert "zone" in lacking.body.decode()


def test_the_past_is_that_of_the_events_and_goes_on_with_what_is_pushed(world: World, service: Asgi) -> None:
    rides = {(one["who"], one["driver_id"], one["at"]) for one in events().to_dict("records")}  # one twice is one
    pushed = {"user": "r2", "item": "13", "last": "11", "zone": 1, "context": {"fare": 9.0}}
    moment = datetime.now(UTC)
    asked = {**pushed, "timestamp": (moment + timedelta(minutes=1)).isoformat()}
    count = [sum(who == "r2" for who, _, _ in rides), sum(driver == "13" for _, driver, _ in rides)]

    def counted() -> list[float]:
        found = service.ask("POST", "/v1/predict", {"rows": [asked], "return_features": True}).json["history"]
        return [math.expm1(found[name][0]) for name in ("user_count", "item_count")]  # the field is log(1 + count)

    assert counted() == pytest.approx(count, rel=1e-4)
    answer = service.ask("POST", "/v1/events", {**pushed, "outcome": 1, "timestamp": moment.isoformat()})
    assert answer.status in {200, 202}, answer.body
    assert counted() == pytest.approx([one + 1 for one in count], rel=1e-4)
    lacking = {name: value for name, value in pushed.items() if name != "last"}
    refused = service.ask("POST", "/v1/events", {**lacking, "outcome": 1})
    assert refused.status == 422
    assert "last" in refused.body.decode()
