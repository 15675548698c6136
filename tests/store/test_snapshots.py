"""States at all moments: Feast's joins, in this repository and in a stranger's, against all events looked at again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.types import Bytes, String

from llactr import store
from llactr.history import HistoryDefinition, KeyState, key_hashes
from llactr.history.fingerprints import fingerprints
from llactr.spec import DatasetSpec, HistorySpec, WindowField
from llactr.store.feast.open import open_store
from llactr.store.history import has_snapshots, write_snapshots, write_states
from llactr.store.history import snapshots as module
from llactr.workspace import Workspace
from tests.history.oracle import Seen, distinct
from tests.store.store_workspace import FIELDS, TIMESTAMP, Offline, at, spec_of

DELAY_US, LAST = 30 * 60 * 1_000_000, 5


@pytest.fixture
def definition() -> HistoryDefinition:
    fields = tuple(
        WindowField(name=f"{owner}_rate", description="past", kind="window", owner=owner, measure="rate")
        for owner in ("user", "item")
    )
    return HistoryDefinition(HistorySpec(outcome_delay="30m", last=LAST, fields=fields), 0.4)


@pytest.fixture
def spec() -> DatasetSpec:
    return spec_of(FIELDS)


@pytest.fixture
def workspace(tmp_path: Path, spec: DatasetSpec) -> Workspace:
    made = Workspace.at(tmp_path / "ws")
    Offline(made, spec)
    return made


def drawn(seed: int, *, first: float, last: float, count: int = 50) -> pa.Table:
    """Events between two hours; many share a quarter of an hour, and some come twice."""
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(int(4 * first), int(4 * last), count)) / 4
    return pa.table(
        {
            "user_id": pa.array([f"u{n}" for n in rng.integers(1, 5, count)]),
            "item_id": pa.array([f"i{n}" for n in rng.integers(1, 6, count)]),
            "event_timestamp": pa.array([at(float(hour)) for hour in hours], TIMESTAMP),
            "label": pa.array(rng.integers(0, 2, count).astype(np.float32)),
        }
    )


def add(workspace: Workspace, spec: DatasetSpec, table: pa.Table, name: str) -> None:
    folder = workspace.offline_table(spec.name, "events")
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"part-{name}.parquet")


def seen(*tables: pa.Table) -> list[Seen]:
    return [
        Seen(row["user_id"], row["item_id"], round(row["event_timestamp"].timestamp() * 1e6), row["label"])
        for table in tables
        for row in table.to_pylist()
    ]


Ask = Callable[[pd.DataFrame, str], pa.Table]


def ours(workspace: Workspace, spec: DatasetSpec) -> Ask:
    store.apply(workspace)
    mine = open_store(workspace)

    def ask(entities: pd.DataFrame, owner: str) -> pa.Table:
        renamed = entities.rename(columns={"key": f"{owner}_id"})
        return mine.get_historical_features(renamed, [f"{spec.name}__{owner}_history:state"]).to_arrow()

    return ask


def theirs(workspace: Workspace, spec: DatasetSpec, folder: Path) -> Ask:
    """A repository of somebody else, with Feast's own DuckDB store, that names the folders of states."""
    config = RepoConfig(
        project="theirs", provider="local", registry=str(folder / "registry.db"), offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )  # fmt: skip
    strange, version = FeatureStore(config=config), Entity(name="history_version", value_type=ValueType.STRING)
    for owner in ("user", "item"):
        entity = Entity(name=f"{owner}_id", value_type=ValueType.STRING)
        source = FileSource(
            name=f"{owner}s", path=str(workspace.offline_table(spec.name, f"{owner}_history")),
            file_format=ParquetFormat(), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp",
        )  # fmt: skip
        schema = [Field(name=f"{owner}_id", dtype=String), Field(name="history_version", dtype=String), Field(name="state", dtype=Bytes)]  # fmt: skip
        strange.apply([entity, version, FeatureView(name=f"past_of_{owner}s", entities=[entity, version], schema=schema, source=source)])  # fmt: skip

    def ask(entities: pd.DataFrame, owner: str) -> pa.Table:
        renamed = entities.rename(columns={"key": f"{owner}_id"})
        return strange.get_historical_features(renamed, [f"past_of_{owner}s:state"]).to_arrow()

    return ask


def holds(ask: Ask, definition: HistoryDefinition, events: list[Seen], *, seed: int = 0, moments: int = 20) -> None:
    """At random moments, and at times of events, each key's joined state is what lies strictly before."""
    rng = np.random.default_rng(seed)
    start = round(at(-1).timestamp() * 1e6)
    times = [*rng.integers(start, start + 60 * 3_600_000_000, moments - 5).tolist()]
    times += [
        event.time + int(rng.integers(0, 2)) * (DELAY_US + 1) for event in events[:: max(len(events) // 5, 1)][:5]
    ]
    counted = distinct(events)
    for owner, keys in (("user", [f"u{n}" for n in range(1, 6)]), ("item", [f"i{n}" for n in range(1, 7)])):
        rows = [(key, time) for time in times for key in keys]  # u5 and i6 have no events
        entities = pd.DataFrame(rows, columns=["key", "time"])
        entities["row"], entities["history_version"] = np.arange(len(rows)), definition.version
        entities["event_timestamp"] = pd.to_datetime(entities.pop("time"), unit="us", utc=True)
        found = ask(entities, owner).sort_by("row")
        layout = getattr(definition, owner)
        for (key, moment), content in zip(rows, found["state"].to_pylist(), strict=True):
            before = [e for e in counted if getattr(e, owner) == key and e.time + DELAY_US < moment]
            if content is None:
                assert not before
                continue
            told = fingerprints(layout, KeyState.from_bytes(definition, layout, content).at(moment))
            assert told.totals[0].tolist() == [len(before), sum(e.outcome for e in before)], (key, moment)
            if owner == "user":
                last = told.last.to_pylist()[0]
                assert [round(one["time"].timestamp() * 1e6) for one in last] == [e.time for e in before[-LAST:]]
                known = {(int(key_hashes([e.item])[0]), e.time, e.outcome == 1) for e in before}
                assert {(one["item"], round(one["time"].timestamp() * 1e6), one["clicked"]) for one in last} <= known


def files_of(workspace: Workspace, spec: DatasetSpec) -> dict[str, float]:
    table = workspace.offline_table(spec.name, "user_history")
    return {path.name: path.stat().st_mtime_ns for path in table.glob("*-*.parquet") if "@" not in path.name}


def test_joins_at_random_moments_equal_all_events_looked_at_again(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, tmp_path: Path
) -> None:
    first, second = drawn(0, first=0, last=20), drawn(1, first=20, last=40)
    add(workspace, spec, first, "00000")
    assert not has_snapshots(workspace, spec.name, definition.version)
    written = write_snapshots(workspace, spec, definition)
    assert (written.how, written.events) == ("anew", 50)
    assert has_snapshots(workspace, spec.name, definition.version)
    kept = files_of(workspace, spec)
    ask = ours(workspace, spec)
    holds(ask, definition, seen(first), seed=1)

    add(workspace, spec, second, "00001-day")
    written = write_snapshots(workspace, spec, definition)
    moments = {(owner, e_key, e.time) for e in seen(second) for owner, e_key in (("user", e.user), ("item", e.item))}
    assert (written.how, written.events, written.rows) == ("added", 50, len(moments))
    assert {name: time for name, time in files_of(workspace, spec).items() if name in kept} == kept, (
        "nothing is rewritten"
    )
    assert write_snapshots(workspace, spec, definition).how == "unchanged"
    holds(ask, definition, seen(first, second), seed=2)
    holds(theirs(workspace, spec, tmp_path), definition, seen(first, second), seed=3)


def test_a_day_after_the_newest_states_were_brought_up_alone(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`materialize` may have pushed the day already, or have made the newest states anew; several pieces; a kill."""
    monkeypatch.setattr(module, "_EVENTS_AT_ONCE", 7)
    days = [drawn(day, first=15 * day, last=15 * (day + 1), count=30) for day in range(3)]
    add(workspace, spec, days[0], "00000")
    write_snapshots(workspace, spec, definition)
    ask = ours(workspace, spec)
    add(workspace, spec, days[1], "00001-day")
    write_states(workspace, spec, definition)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_note", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            write_snapshots(workspace, spec, definition)
    assert write_snapshots(workspace, spec, definition).how == "added"
    holds(ask, definition, seen(*days[:2]), seed=4)
    for path in workspace.offline_table(spec.name, "item_history").glob("*@*.parquet"):
        path.unlink()
    add(workspace, spec, days[2], "00002-day")
    write_states(workspace, spec, definition)
    assert write_snapshots(workspace, spec, definition).how == "added"
    holds(ask, definition, seen(*days), seed=5)


def test_an_event_that_came_late_makes_all_anew(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition
) -> None:
    first = drawn(0, first=0, last=20)
    add(workspace, spec, first, "00000")
    write_snapshots(workspace, spec, definition)
    ask = ours(workspace, spec)
    late = first.slice(0, 1).set_column(2, "event_timestamp", pa.array([at(7.1)], TIMESTAMP))
    add(workspace, spec, late, "00001-late")
    write_states(workspace, spec, definition)  # as materialize does
    written = write_snapshots(workspace, spec, definition)
    assert (written.how, written.events) == ("late", 51)
    holds(ask, definition, seen(first, late), seed=6)
    add(workspace, spec, drawn(4, first=0, last=9, count=20), "00000")  # ingested anew
    (workspace.offline_table(spec.name, "events") / "part-00001-late.parquet").unlink()
    assert write_snapshots(workspace, spec, definition).how == "anew"
    holds(ask, definition, seen(drawn(4, first=0, last=9, count=20)), seed=7)
    assert len(files_of(workspace, spec)) == 1, "what was of other events is gone"
