"""Three entities and a join-key map, a view of two entities, lists, on-demand views in Python, a store class of theirs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureStore

from llactr.errors import StoreError
from llactr.jobs.cli.console import Terminal
from llactr.spec import DatasetSpec
from llactr.steps import Job
from llactr.store import apply, open_store, release, training_rows, write_field_vectors
from llactr.store.ingested import dataset_spec
from llactr.store.repository import features as features_module
from llactr.store.repository.features import RepositoryFeatures, repository_features
from llactr.store.repository.ingest import ingest
from llactr.workspace import Workspace
from tests.serving.serving_workspace import vectors_for
from tests.store.repository.driver_stats import applied, newest
from tests.store.repository.rides import DAYS, DEMAND_TTL, DRIVERS, PAIR_TTL, START, events, tables, write_repository

NAMES = ("plan", "likes", "joined", "verified", "rides", "last_rides", "car", "together", "surged", "known")


@dataclass(frozen=True)
class World:
    repo: Path
    workspace: Workspace
    spec: DatasetSpec
    store: FeatureStore


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("rides")
    repo = write_repository(folder)
    before = list(sys.path)
    sys.path.append(str(repo))
    store = applied(repo)
    workspace = Workspace.at(folder / "workspace")
    ingest(Job(workspace, Terminal(as_json=True)), str(folder / "spec.yaml"))
    spec = dataset_spec(workspace, "rides")
    with contextlib.chdir(repo):  # as `feast materialize` does
        store.materialize(START - timedelta(days=9), START + timedelta(days=DAYS))
    yield World(repo, workspace, spec, store)
    sys.path[:] = before
    sys.modules.pop("rides_store", None)


def expected(event: dict[str, Any], moment: datetime) -> dict[str, Any]:
    """By plain loops, what an event's features are."""
    known = tables()

    def value(table: str, name: str, ttl: timedelta | None, **keys: object) -> Any:
        row = newest(known[table], moment, ttl=ttl, **keys)
        return None if row is None else row[name]

    rider, driver, last = event["who"], _whole(event["driver_id"]), _whole(event["last_driver"])
    likes, joined = value("riders", "likes", None, rider_id=rider), value("riders", "joined", None, rider_id=rider)
    verified = value("riders", "verified", None, rider_id=rider)
    car = value("drivers", "car", None, driver_id=driver)
    together = value("pairs", "together", PAIR_TTL, rider_id=rider, driver_id=driver)
    waiting = value("zones", "waiting", DEMAND_TTL, zone_id=event["zone_id"])
    return {
        "plan": value("riders", "plan", None, rider_id=rider),
        "likes": None if not likes else "|".join(likes),
        "joined": joined,
        "verified": None if verified is None else str(verified).lower(),
        "rides": value("drivers", "rides", None, driver_id=driver),
        "last_rides": value("drivers", "rides", None, driver_id=last),
        "car": None if car is None else str(car),
        "together": together,
        "surged": None if waiting is None else pytest.approx(event["fare"] * (1 + waiting / 10)),
        "known": "no" if together is None else "yes",
    }


def _whole(text: object) -> int | None:
    return int(str(text)) if str(text).isdigit() else None


def test_training_rows_by_every_entity(world: World) -> None:
    apply(world.workspace)
    vectors = vectors_for(world.spec, "0123456789abcdef")
    write_field_vectors(world.workspace, vectors)
    release(world.workspace, "rides", vectors.version)
    rows = training_rows(world.workspace, world.spec, chunk_rows=400)
    wanted = [expected(event, datetime.fromisoformat(event["at"])) for event in events().to_dict("records")]
    for name in NAMES:
        assert rows[name].to_pylist() == [row[name] for row in wanted], name
    nulls = {name: sum(row[name] is None for row in wanted) for name in NAMES}
    assert all(10 < nulls[name] < 690 for name in NAMES if name != "known"), nulls


def test_the_join_is_done_by_their_own_class_and_ours_by_asof(world: World) -> None:
    log = world.repo / "data" / "joins.txt"
    log.unlink(missing_ok=True)
    _features(world).as_of(_requests(events(50), None))
    asked = log.read_text(encoding="utf-8").split("\n")[:-1]
    assert sorted(line.split(":")[0] for line in asked) == [
        "driver_stats", "driver_stats", "pair_stats", "rider_profile", "zone_demand",
    ], "once a view and key map"  # fmt: skip
    assert type(open_store(world.workspace).provider.offline_store).__name__ == "AsofDuckDBOfflineStore"


def test_online_every_entity_and_each_ttl(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = START + timedelta(days=DAYS) - timedelta(minutes=90)
    monkeypatch.setattr(features_module, "now", lambda: moment)
    frame = events(120)
    found = pa.table(_features(world).current(_requests(frame, moment))).to_pylist()
    # The online store has the newest rows of all; none lies after the moment but those of zones, which are the same.
    last = {"zones": START + timedelta(hours=3 * (DAYS * 8 - 1))}
    assert last["zones"] <= moment
    for event, got in zip(frame.to_dict("records"), found, strict=True):
        assert got == expected(event, moment)


def test_an_expired_value_is_null_online(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest demand of a zone is of 21:00 of the last day, and holds for two hours."""
    frame = events(1).assign(zone_id=1)
    newest_row = START + timedelta(hours=3 * (DAYS * 8 - 1))
    for minutes, there in ((119, True), (120, True), (121, False)):
        moment = newest_row + timedelta(minutes=minutes)
        monkeypatch.setattr(features_module, "now", lambda at=moment: at)
        surged = _features(world).current(_requests(frame, moment))["surged"].to_pylist()
        assert (surged[0] is not None) is there


def test_a_number_of_nineteen_digits_stays_one(world: World) -> None:
    frame = events(2).assign(driver_id=[str(DRIVERS[3]), str(DRIVERS[3] + 1)])
    rides = _features(world).current(_requests(frame, START + timedelta(days=DAYS)))["rides"].to_pylist()
    assert rides[0] is not None
    assert rides[1] is None


def test_a_failing_on_demand_view_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    features = _features(world)
    view = features.plan.demands[0].view

    def broken(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {"surged": [fare + None for fare in inputs["fare"]]}

    monkeypatch.setattr(view.feature_transformation, "udf", broken)
    with pytest.raises(StoreError, match=r"the on-demand view 'surge' failed \(TypeError: .* inputs are missing"):
        features.current(_requests(events(3), START))
    monkeypatch.setattr(view.feature_transformation, "udf", lambda inputs: {"surged": [1.0], "known": ["no"]})
    with pytest.raises(StoreError, match="'surge' gave 1 values of 'surged' for 3 rows"):
        features.current(_requests(events(3), START))


def _features(world: World) -> RepositoryFeatures:
    features = repository_features(world.workspace, world.spec)
    assert features is not None
    return features


def _requests(frame: Any, moment: datetime | None) -> pa.Table:
    """Rows as ingest and requests give them: keys as text."""
    keys = ("who", "driver_id", "last_driver", "zone_id")
    times = [moment or datetime.fromisoformat(text) for text in frame["at"]]
    return pa.table(
        {name: pa.array([str(value) for value in frame[name]]) for name in keys}
        | {"event_timestamp": pa.array(times, pa.timestamp("us", "UTC")), "fare": pa.array(frame["fare"], pa.float64())}
    )
