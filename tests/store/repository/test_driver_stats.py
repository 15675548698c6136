"""Feast's example repository, used where it lies: its views are read on both sides, ours are added beside them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from click import ClickException
from feast import FeatureStore

from llactr.datasets.rows import request_table, rows_of_objects
from llactr.errors import InputError, NotReadyError, SpecError
from llactr.jobs.cli.console import Terminal
from llactr.profile import StartOptions
from llactr.spec import DatasetSpec, load_spec
from llactr.steps import Job
from llactr.store import OnlineReader, apply, materialize, open_store, release, training_rows, write_field_vectors
from llactr.store.feast.open import open_repository_file
from llactr.store.ingested import dataset_spec
from llactr.store.moments import features_as_of
from llactr.store.repository import features as features_module
from llactr.store.repository.draft import draft_from_repository
from llactr.store.repository.features import RepositoryFeatures, repository_features
from llactr.store.repository.ingest import check_repository, ingest
from llactr.workspace import Workspace
from tests.serving.serving_asgi import started
from tests.serving.serving_workspace import add_bundle, vectors_for
from tests.store.repository.driver_stats import (
    DEFINITIONS,
    DRIVERS,
    FEATURE_STORE,
    HOURS,
    SPEC,
    START,
    TTL,
    applied,
    feast_apply,
    newest,
    statistics,
    trips,
    write_repository,
)

END = START + timedelta(hours=HOURS)


@dataclass(frozen=True)
class World:
    """A repository that is applied and materialized, and a workspace with a bundle of the spec that init drafted."""

    folder: Path
    repo: Path
    workspace: Workspace
    spec: DatasetSpec
    store: FeatureStore
    rows: pa.Table
    bundle: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("drivers")
    repo = write_repository(folder)
    store = applied(repo)
    workspace = Workspace.at(folder / ".llactr")
    options = StartOptions(out=folder / "trips.yaml", label="taken")
    draft_from_repository(repo, [str(folder / "trips.parquet")], options)
    ingest(Job(workspace, Terminal(as_json=True)), str(folder / "trips.yaml"))
    spec = dataset_spec(workspace, "trips")
    apply(workspace)
    vectors = vectors_for(spec, "0123456789abcdef")
    write_field_vectors(workspace, vectors)
    release(workspace, spec.name, vectors.version)
    store.materialize(START - timedelta(days=1), END)
    materialize(workspace)
    rows = training_rows(workspace, spec)
    bundle = add_bundle(workspace, spec, rows, vectors, "drivers", seed=1)
    return World(folder, repo, workspace, spec, store, rows, bundle)


@pytest.fixture(scope="module")
def expected(world: World) -> list[dict[str, Any]]:
    """Of each trip what its driver's statistics were, by a plain loop."""
    known = statistics().to_dict("records")
    found = []
    for trip in trips().to_dict("records"):
        row = newest(known, trip["offered_at"], ttl=TTL, driver_id=trip["driver"])
        rate = None if row is None else float(row["conv_rate"])
        found.append(
            {
                "conv_rate": rate,
                "avg_daily_trips": None if row is None else float(row["avg_daily_trips"]),
                "home": None if row is None else row["home"],
                "conv_rate_plus_val1": None if rate is None else rate + trip["val_to_add"],
            }
        )
    return found


def test_training_rows_hold_the_views_values_as_of_each_event(world: World, expected: list[dict[str, Any]]) -> None:
    assert world.rows.num_rows == len(expected)
    for name in ("conv_rate", "avg_daily_trips", "home", "conv_rate_plus_val1"):
        found = world.rows[name].to_pylist()
        for got, row in zip(found, expected, strict=True):
            assert got == (pytest.approx(row[name], abs=1e-6) if isinstance(row[name], float) else row[name]), name
    unknown = [row["home"] is None for row in expected]
    assert 100 < sum(unknown) < 400, "some drivers are unknown, and the values of one expire"
    assert world.rows.schema.field("conv_rate").type == pa.float64()
    assert world.rows.schema.field("home").type == pa.string()


def test_the_join_is_that_of_feast_itself(world: World) -> None:
    """Among trips of known drivers whose values have not expired Feast's own call gives the same."""
    frame = trips(300).rename(columns={"driver": "driver_id", "offered_at": "event_timestamp"})
    frame["row"] = range(len(frame))
    refs = ["driver_hourly_stats:avg_daily_trips", "transformed_conv_rate:conv_rate_plus_val1"]
    theirs = world.store.get_historical_features(frame, refs).to_df()
    events = pa.table(
        {
            "driver": pa.array([str(key) for key in frame["driver_id"]]),
            "event_timestamp": pa.array(frame["event_timestamp"], pa.timestamp("us", "UTC")),
            "val_to_add": pa.array(frame["val_to_add"], pa.float64()),
            "val_to_add_2": pa.array(frame["val_to_add_2"], pa.float64()),
        }
    )
    features = repository_features(world.workspace, world.spec)
    assert features is not None
    ours = pa.table(features.as_of(events)).to_pandas()
    for _, row in theirs.iterrows():
        got = ours.iloc[int(row["row"])]
        for name in ("avg_daily_trips", "conv_rate_plus_val1"):
            assert got[name] == pytest.approx(row[name], nan_ok=True)


def test_online_the_newest_values_count_until_they_expire(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = OnlineReader(world.workspace, world.spec)
    reader.require_whole()
    known = statistics().to_dict("records")
    moment = END + timedelta(hours=1)
    monkeypatch.setattr(features_module, "now", lambda: moment)
    asked = [
        {"driver": driver, "val_to_add": 3, "val_to_add_2": 0, "event_timestamp": moment}
        for driver in (*DRIVERS, 1009, "none")
    ]
    table = request_table(rows_of_objects(world.spec, asked, "here"), world.spec)
    found = reader.features(table).to_pylist()
    for request, got in zip(asked, found, strict=True):
        row = newest(known, moment, ttl=TTL, driver_id=request["driver"])
        assert (row is None) == (request["driver"] in (1005, 1009, "none")), "1005 stopped two days ago"
        rate = None if row is None else float(row["conv_rate"])
        assert got["conv_rate"] == (None if rate is None else pytest.approx(rate, abs=1e-7))
        assert got["home"] == (None if row is None else row["home"])
        assert got["conv_rate_plus_val1"] == (None if rate is None else pytest.approx(rate + 3))


def test_offline_and_online_give_the_same_features(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last moment, when the newest rows are those that count."""
    monkeypatch.setattr(features_module, "now", lambda: END - timedelta(minutes=30))
    features = repository_features(world.workspace, world.spec)
    assert features is not None
    rows = pa.table(
        {
            "driver": pa.array([*map(str, DRIVERS), "1009"]),
            "event_timestamp": pa.array([END - timedelta(minutes=30)] * 6, pa.timestamp("us", "UTC")),
            "val_to_add": pa.array([0.0, 1, 2, 3, 4, None]),
            "val_to_add_2": pa.array([0.0] * 6),
        }
    )
    assert pa.table(features.as_of(rows)).equals(pa.table(features.current(rows)))


def test_the_service_scores_what_it_reads_of_the_repository(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from llactr.ctr import Bundle, predict

    monkeypatch.setattr(features_module, "now", lambda: END)
    bundle = Bundle.load(world.bundle)
    asked = [
        {
            "driver": driver,
            "timestamp": (END + timedelta(minutes=minutes)).isoformat(),
            "context": {"val_to_add": 1, "val_to_add_2": 2},
        }
        for minutes, driver in enumerate((*DRIVERS, 1009))
    ]
    with started(world.workspace, bundle="drivers") as service:
        answer = service.ask("POST", "/v1/predict", {"rows": asked, "return_ids": True, "return_features": True}).json
        again = service.ask("POST", "/v1/explain", asked[0]).json
    known = statistics().to_dict("records")
    rates = []
    for row in asked:
        stored = newest(known, END, ttl=TTL, driver_id=row["driver"])
        rates.append(None if stored is None else float(stored["conv_rate"]))
    assert answer["cold"] == {"user": 0, "item": 0, "driver": 2}, "1005, whose values expired, and 1009"
    assert answer["features"]["conv_rate"] == [None if r is None else pytest.approx(r, abs=1e-7) for r in rates]
    assert answer["features"]["conv_rate_plus_val1"] == [None if r is None else pytest.approx(r + 1) for r in rates]
    table = request_table(
        rows_of_objects(
            world.spec,
            [{"driver": r["driver"], "event_timestamp": r["timestamp"], **r["context"]} for r in asked],  # type: ignore[dict-item]
            "here",
        ),
        world.spec,
    )
    ids = bundle.transform.ids(OnlineReader(world.workspace, world.spec).features(table))
    assert np.array_equal(np.array(answer["ids"]), ids)
    assert np.allclose(answer["scores"], predict(bundle.model, ids), atol=1e-6)
    assert again["score"] == pytest.approx(answer["scores"][0], abs=1e-6)


def test_skew_knows_what_should_have_been_served(world: World) -> None:
    known = statistics().to_dict("records")
    asked = [
        (driver, START + timedelta(hours=hour, minutes=5)) for driver in (1001, 1005, 1009) for hour in (2, 27, 40)
    ]
    rows = pa.table(
        {
            "driver": pa.array([str(driver) for driver, _ in asked]),
            "event_timestamp": pa.array([moment for _, moment in asked], pa.timestamp("us", "UTC")),
            "val_to_add": pa.array([1.0] * 9),
            "val_to_add_2": pa.array([0.0] * 9),
        }
    )
    found = features_as_of(world.workspace, world.spec, rows)
    wanted = [newest(known, moment, ttl=TTL, driver_id=driver) for driver, moment in asked]
    assert found["home"].to_pylist() == [None if row is None else row["home"] for row in wanted]
    raised = [None if row is None else pytest.approx(float(row["conv_rate"]) + 1, abs=1e-6) for row in wanted]
    assert found["conv_rate_plus_val1"].to_pylist() == raised
    assert [row is None for row in wanted] == [False] * 4 + [True] * 5, "1005 stops after a day"


def test_ours_are_registered_beside_theirs_which_stay(world: World) -> None:
    store = FeatureStore(repo_path=str(world.repo))
    names = {view.name for view in store.list_feature_views()}
    assert names == {"driver_hourly_stats", "field_semantics", "value_semantics", "semantics_release"}
    assert store.get_feature_view("driver_hourly_stats").tags == {"team": "driver_performance"}
    assert [view.name for view in store.list_on_demand_feature_views()] == ["transformed_conv_rate"]
    apply(world.workspace)
    assert {view.name for view in FeatureStore(repo_path=str(world.repo)).list_feature_views()} == names
    assert open_store(world.workspace).project == "drivers"


def test_one_import_line_keeps_ours_in_their_feast_apply(
    world: World,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LLACTR_WORKSPACE", raising=False)
    line = world.repo / "llactr_views.py"
    apply(world.workspace)
    assert "imports llactr's views, and the next 'feast apply' there removes them" in caplog.text
    caplog.clear()
    line.write_text("from llactr.feature_repo.views import *\n", encoding="utf-8")
    apply(world.workspace)
    assert caplog.text == ""
    feast_apply(world.repo)
    said = capsys.readouterr().out
    assert "Applying changes for project drivers" in said
    assert "Deleted" not in said
    names = {view.name for view in FeatureStore(repo_path=str(world.repo)).list_feature_views()}
    assert names == {"driver_hourly_stats", "field_semantics", "value_semantics", "semantics_release"}
    line.unlink()
    feast_apply(world.repo)
    assert "Deleted feature view" in capsys.readouterr().out, "which is why the line is needed"
    apply(world.workspace)
    assert {view.name for view in FeatureStore(repo_path=str(world.repo)).list_feature_views()} == names


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("driver_hourly_stats:conv_rate", "driver_daily_stats:conv_rate", "reads the view 'driver_daily_stats', which the repository .* does not have: it has driver_hourly_stats"),
        ("driver_hourly_stats:conv_rate", "driver_hourly_stats:rate", "the feature 'rate', which the view 'driver_hourly_stats' does not have: it has conv_rate, acc_rate"),
        ("driver_hourly_stats:conv_rate", "driver_hourly_stats:home", "'conversion' is numeric and its feature 'driver_hourly_stats:home' has type STRING"),
        ("driver_hourly_stats:conv_rate", "driver_hourly_stats@v2:conv_rate", "enable_online_feature_view_versioning: true"),
        (", repository_key: driver_id", "", r"which is read by 'driver_id', and no entity of the spec is it: they are driver \(driver\)"),
        ("name: val_to_add,", "name: added,", "takes 'val_to_add' of the request, which is no context field of the spec"),
    ],
)  # fmt: skip
def test_what_the_repository_does_not_have_is_said(world: World, old: str, new: str, message: str) -> None:
    assert old in SPEC
    spec = DatasetSpec.model_validate(yaml.safe_load(SPEC.replace(old, new, 1)))
    with pytest.raises(SpecError, match=message):
        check_repository(spec, world.repo / "feature_store.yaml")


def test_nothing_is_ingested_without_the_repository(tmp_path: Path) -> None:
    write_repository(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("repository: repo", "repository: elsewhere"), encoding="utf-8")
    job = Job(Workspace.at(tmp_path / "ws"), Terminal(as_json=True))
    with pytest.raises(
        SpecError, match=r"reads the Feast repository 'elsewhere', and there is no .*feature_store.yaml"
    ):
        ingest(job, str(tmp_path / "spec.yaml"))
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    with pytest.raises(SpecError, match="it has none, run feast apply there first"):
        ingest(job, str(tmp_path / "spec.yaml"))
    assert job.workspace.datasets() == []


def test_one_workspace_uses_one_repository(world: World, tmp_path: Path) -> None:
    other = write_repository(tmp_path)
    applied(other)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("name: trips\n", "name: rides\n", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"uses the Feast repository of .* for trips, and 'rides' uses"):
        ingest(Job(world.workspace, Terminal(as_json=True)), str(tmp_path / "spec.yaml"))


@pytest.fixture
def unfilled(tmp_path: Path) -> Workspace:
    applied(write_repository(tmp_path))
    workspace = Workspace.at(tmp_path / ".llactr")
    ingest(Job(workspace, Terminal(as_json=True)), str(tmp_path / "spec.yaml"))
    return workspace


def test_a_view_that_was_never_materialized_is_not_served_from(unfilled: Workspace) -> None:
    features = repository_features(unfilled, dataset_spec(unfilled, "trips"))
    assert features is not None
    with pytest.raises(NotReadyError, match=r"the view 'driver_hourly_stats' of .* was never materialized: run 'feast"):
        features.require_online()


def test_a_draft_has_the_features_of_their_views(world: World, tmp_path: Path) -> None:
    out = world.folder / "drafted.yaml"
    options = StartOptions(out=out, label="taken", force=True)
    drafted = draft_from_repository(world.repo, [str(world.folder / "trips.parquet")], options)
    spec = load_spec(out)
    assert spec.feast is not None
    assert spec.feast.repository == "repo"
    assert (spec.entities["driver"].join_key, spec.entities["driver"].repository_key) == ("driver", "driver_id")
    assert {field.name: (field.feature, field.kind, field.owner) for field in spec.repository_fields} == {
        "conv_rate": ("driver_hourly_stats:conv_rate", "numeric", "driver"),
        "acc_rate": ("driver_hourly_stats:acc_rate", "numeric", "driver"),
        "avg_daily_trips": ("driver_hourly_stats:avg_daily_trips", "numeric", "driver"),
        "home": ("driver_hourly_stats:home", "categorical", "driver"),
        "conv_rate_plus_val1": ("transformed_conv_rate:conv_rate_plus_val1", "numeric", "driver"),
        "conv_rate_plus_val2": ("transformed_conv_rate:conv_rate_plus_val2", "numeric", "driver"),
    }
    assert spec.field("avg_daily_trips").description == "Average daily trips", "as their view says it"
    assert {f.name: f.kind for f in spec.owned_by("context")} | {"val_to_add": "numeric"} == {
        "val_to_add": "numeric", "val_to_add_2": "numeric", "hour": "timestamp_part", "weekday": "timestamp_part",
    }  # fmt: skip
    assert drafted.label == "taken"
    check_repository(spec, world.repo / "feature_store.yaml")
    rows = ingest(Job(Workspace.at(tmp_path / "ws"), Terminal(as_json=True)), str(out)).result.rows
    assert rows == 900


@pytest.mark.parametrize(
    ("repo", "tables", "message"),
    [
        ("nowhere", ["trips.parquet"], r"--feast is .*nowhere'.*name a Feast repository's folder"),
        ("repo", [], r"name the table of events, too: .* and keys of .*: driver_id$"),
        ("repo", ["other.parquet"], r"the keys are driver_id, the events have who, at, taken; name one of them so"),
    ],
)
def test_a_draft_says_what_it_lacks(world: World, repo: str, tables: list[str], message: str) -> None:
    if tables == ["other.parquet"]:
        other = trips().rename(columns={"driver": "who", "offered_at": "at"})[["who", "at", "taken"]]
        other.to_parquet(world.folder / "other.parquet")
    options = StartOptions(out=world.folder / "never.yaml", label="taken")
    with pytest.raises(InputError, match=message):
        draft_from_repository(world.folder / repo, [str(world.folder / name) for name in tables], options)
    assert not options.out.exists()


def test_a_version_of_a_view_is_read_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second version has no `home` any more; the first is still there."""
    repo = write_repository(tmp_path)
    settings = "registry:\n  path: data/registry.db\n  enable_online_feature_view_versioning: true"
    text = FEATURE_STORE.replace("registry: data/registry.db", settings)
    (repo / "feature_store.yaml").write_text(text, encoding="utf-8")
    for definitions in (DEFINITIONS, DEFINITIONS.replace('        Field(name="home", dtype=String),\n', "")):
        (repo / "example_repo.py").write_text(definitions, encoding="utf-8")
        applied(repo).materialize(START - timedelta(days=1), END)
    monkeypatch.setattr(features_module, "now", lambda: END)
    rows = pa.table(
        {
            "driver": ["1001"],
            "event_timestamp": pa.array([END], pa.timestamp("us", "UTC")),
            "val_to_add": [1.0],
            "val_to_add_2": [0.0],
        }
    )
    row = newest(statistics().to_dict("records"), END, ttl=TTL, driver_id=1001)
    assert row is not None
    path = repo / "feature_store.yaml"
    first = DatasetSpec.model_validate(
        yaml.safe_load(SPEC.replace("driver_hourly_stats:home", "driver_hourly_stats@v0:home"))
    )
    features = RepositoryFeatures(first, open_repository_file(path))
    features.require_online()
    for found in (features.as_of(rows), features.current(rows)):
        assert found["home"].to_pylist() == [row["home"]]
        assert found["conversion"].to_pylist() == [pytest.approx(float(row["conv_rate"]), abs=1e-7)]
    for version, message in (
        ("", "does not have: it has conv_rate, acc_rate"),
        ("@v7", "'driver_hourly_stats@v7', and the view 'driver_hourly_stats' has the versions v0, v1"),
    ):
        spec = DatasetSpec.model_validate(
            yaml.safe_load(SPEC.replace("driver_hourly_stats:home", f"driver_hourly_stats{version}:home"))
        )
        with pytest.raises(SpecError, match=message):
            RepositoryFeatures(spec, open_repository_file(path))


def test_the_import_line_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a workspace `feast apply` would remove llactr's views without a word."""
    views = importlib.reload(importlib.import_module("llactr.feature_repo.views"))
    monkeypatch.delenv("LLACTR_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClickException, match=r"neither .*\.llactr nor .*\.llactr holds a dataset: run 'llactr ingest'"):
        views.__getattr__("__all__")
    monkeypatch.setenv("LLACTR_WORKSPACE", str(tmp_path / "empty"))
    with pytest.raises(ClickException, match="no dataset has been ingested into the workspace"):
        views.__getattr__("__all__")


def test_a_name_of_theirs_is_not_taken(tmp_path: Path) -> None:
    repo = write_repository(tmp_path)
    definitions = DEFINITIONS + 'value = Entity(name="value", join_keys=["value_id"], value_type=ValueType.STRING)\n'
    schema = "[Field(name='conv_rate', dtype=Float32)]"
    taken = f"FeatureView(name='value_semantics', entities=[driver], schema={schema}, source=driver_stats_source)"
    (repo / "example_repo.py").write_text(definitions, encoding="utf-8")
    applied(repo)
    workspace = Workspace.at(tmp_path / ".llactr")
    ingest(Job(workspace, Terminal(as_json=True)), str(tmp_path / "spec.yaml"))
    apply(workspace)
    assert FeatureStore(repo_path=str(repo)).get_entity("value").join_key == "value_id", "ours is called otherwise"
    (repo / "example_repo.py").write_text(definitions + f"theirs = {taken}\n", encoding="utf-8")
    applied(repo)
    with pytest.raises(SpecError, match="has feature view 'value_semantics' of its own, and llactr needs the name"):
        apply(workspace)


def test_a_repository_takes_the_views_of_one_workspace(world: World, tmp_path: Path) -> None:
    other = Workspace.at(tmp_path / "other")
    ingest(Job(other, Terminal(as_json=True)), str(world.folder / "trips.yaml"))
    with pytest.raises(
        SpecError, match=r"has llactr's views of the workspace .*\.llactr, and these would take their place"
    ):
        apply(other)
