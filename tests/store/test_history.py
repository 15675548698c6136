"""States of history through Feast's own point-in-time join, against the pass over the events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureView

from llactr import store
from llactr.history import (
    HistoryDefinition,
    KeyState,
    KeyStates,
    features,
    history_rows,
    key_hashes,
    newest_states,
)
from llactr.spec import DatasetSpec, HistorySpec, WindowField
from llactr.store.feast.open import open_store
from llactr.store.history import events_of, known_versions, states, write_snapshots, write_states
from llactr.store.history.states import add_states
from llactr.store.names import PhysicalNames
from llactr.workspace import Workspace
from tests.store.store_workspace import FIELDS, TIMESTAMP, Offline, at, spec_of


def history_spec() -> HistorySpec:
    def window(owner: Any, measure: Any) -> WindowField:
        return WindowField(name=f"{owner}_{measure}", description="past", kind="window", owner=owner, measure=measure)

    return HistorySpec(
        outcome_delay="30m", fields=tuple(window(o, m) for o in ("user", "item") for m in ("count", "rate"))
    )


def drawn_events(count: int = 60) -> pa.Table:
    rng = np.random.default_rng(0)
    hours = np.sort(rng.integers(0, 80, count)) / 4  # many events share a quarter of an hour
    return pa.table(
        {
            "user_id": pa.array([f"u{n}" for n in rng.integers(1, 5, count)]),
            "item_id": pa.array([f"i{n}" for n in rng.integers(1, 6, count)]),
            "event_timestamp": pa.array([at(float(hour)) for hour in hours], TIMESTAMP),
            "label": pa.array(rng.integers(0, 2, count).astype(np.float32)),
        }
    )


def joined_states(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, events: pa.Table, owner: Any
) -> KeyStates:
    names = PhysicalNames(spec)
    key, layout = names.join_key(owner), getattr(definition, owner)
    entities = pd.DataFrame({"row": np.arange(len(events)), key: events[spec.entities[owner].join_key].to_pandas()})
    entities["history_version"] = definition.version
    entities["event_timestamp"] = events["event_timestamp"].to_pandas()
    job = open_store(workspace).get_historical_features(entities, [f"{names.history_view(owner)}:state"])
    found = job.to_arrow().sort_by("row")
    moments = found["event_timestamp"].cast(pa.int64()).to_pylist()
    return KeyStates.stack(
        [
            KeyStates.empty(definition, layout, 1)
            if content is None
            else KeyState.from_bytes(definition, layout, content).at(now)
            for content, now in zip(found["state"].to_pylist(), moments, strict=True)
        ]
    )


def test_states_joined_by_feast_give_the_fields_of_the_pass(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    spec = spec_of(FIELDS).model_copy(update={"history": history_spec()})
    Offline(workspace, spec)
    table = drawn_events()
    with_events(workspace, spec, table, "00000")
    definition = HistoryDefinition(history_spec(), 0.4)
    written = write_snapshots(workspace, spec, definition)
    # A row for each user and moment, and for each item and moment.
    times = table["event_timestamp"].to_pylist()
    keys = {owner: table[f"{owner}_id"].to_pylist() for owner in ("user", "item")}
    moments = {(owner, pair) for owner in keys for pair in zip(keys[owner], times, strict=True)}
    assert (written.rows, written.events, written.how) == (len(moments), 60, "anew")
    store.apply(workspace)
    users = joined_states(workspace, spec, definition, table, "user")
    items = joined_states(workspace, spec, definition, table, "item")
    events = events_of(spec, table)
    found = features(definition, users, items, events.item, events.time)
    np.testing.assert_array_equal(found, history_rows(definition, events))
    assert write_snapshots(workspace, spec, definition).how == "unchanged"


def test_views_of_history_come_with_the_first_snapshots(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    spec = spec_of(FIELDS).model_copy(update={"history": history_spec()})
    Offline(workspace, spec)

    def views() -> set[str]:
        objects = store.definitions.definitions(workspace)
        return {o.name for o in objects if isinstance(o, FeatureView) and "history" in o.name}

    assert views() == set()
    with_events(workspace, spec, drawn_events(), "00000")
    write_snapshots(workspace, spec, HistoryDefinition(history_spec(), 0.4))
    assert views() == {"small__user_history", "small__item_history"}


def with_events(workspace: Workspace, spec: DatasetSpec, table: pa.Table, name: str) -> None:
    folder = workspace.offline_table(spec.name, "events")
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"part-{name}.parquet")


def newest_of(workspace: Workspace, spec: DatasetSpec, version: str, owner: Any) -> dict[str, tuple[Any, bytes]]:
    """Each key's newest row, as `materialize` takes it: by event timestamp, then by creation."""
    folder = workspace.offline_table(spec.name, f"{owner}_history")
    rows = pa.concat_tables([pq.read_table(path) for path in folder.glob("*.parquet")])
    found: dict[str, tuple[Any, bytes]] = {}
    for row in rows.sort_by([("event_timestamp", "ascending"), ("created_timestamp", "ascending")]).to_pylist():
        if row["history_version"] == version:
            found[row[f"{owner}_id"]] = (row["event_timestamp"], row["state"])
    return found


def test_new_events_are_pushed_onto_the_states_there_are(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    spec = spec_of(FIELDS).model_copy(update={"history": history_spec()})
    table = drawn_events(80)
    definition = HistoryDefinition(history_spec(), 0.4)
    with_events(workspace, spec, table.slice(0, 70), "00000")
    first = write_states(workspace, spec, definition)
    assert (first.anew, first.events, first.states) == (True, 70, 9), "4 users and 5 items"
    assert write_states(workspace, spec, definition).states == 0
    before = {owner: newest_of(workspace, spec, definition.version, owner) for owner in ("user", "item")}
    # The late one comes after newer events of its key.
    late = table.slice(70, 3).set_column(
        2, "event_timestamp", pa.array([at(1.0), *table["event_timestamp"].slice(71, 2).to_pylist()], TIMESTAMP)
    )
    with_events(workspace, spec, late, "00001-new")
    second = write_states(workspace, spec, definition)
    assert (second.anew, second.events) == (False, 3)
    users, items = set(late["user_id"].to_pylist()), set(late["item_id"].to_pylist())
    assert second.states == len(users) + len(items)
    everything = pa.concat_tables([table.slice(0, 70), late])
    events = events_of(spec, everything)
    for owner, touched in (("user", users), ("item", items)):
        after = newest_of(workspace, spec, definition.version, owner)
        layout = getattr(definition, owner)
        expected = dict(newest_states(definition, events, owner=owner))
        hashes = dict(zip(after, key_hashes(after).tolist(), strict=True))
        for key, (moment, content) in after.items():
            if key not in touched:
                assert (moment, content) == before[owner][key]
                continue
            assert moment > before[owner][key][0], "a store keeps the row with the newest time"
            found, wanted = KeyState.from_bytes(definition, layout, content), expected[hashes[key]]
            now = int(events.time.max()) + 3600 * 1_000_000
            np.testing.assert_allclose(found.at(now).sums, wanted.at(now).sums, rtol=1e-6)
            assert found.at(now).count == wanted.at(now).count


def test_states_of_two_versions_lie_side_by_side_and_other_events_make_them_anew(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    spec = spec_of(FIELDS).model_copy(update={"history": history_spec()})
    one, two = HistoryDefinition(history_spec(), 0.4), HistoryDefinition(history_spec(), 0.5)
    with_events(workspace, spec, drawn_events(40), "00000")
    assert write_states(workspace, spec, one).states == write_states(workspace, spec, two).states == 9
    assert known_versions(workspace, "small") == tuple(sorted((one.version, two.version)))
    kept = newest_of(workspace, spec, two.version, "item")
    with_events(workspace, spec, drawn_events(30), "00000")  # ingested anew: fewer events than there were
    again = write_states(workspace, spec, one)
    assert (again.anew, again.events) == (True, 30)
    assert newest_of(workspace, spec, two.version, "item") == kept
    states = newest_of(workspace, spec, one.version, "item")
    counts = [int(KeyState.from_bytes(one, one.item, content).folded.count[0]) for _, content in states.values()]
    pending = [len(KeyState.from_bytes(one, one.item, content).pending) for _, content in states.values()]
    assert sum(counts) + sum(pending) == 30


def test_a_kill_between_the_users_states_and_the_items_loses_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the killed run left of users' states already holds the new events: the items' must get them, too."""
    spec = spec_of(FIELDS).model_copy(update={"history": history_spec()})
    definition, table = HistoryDefinition(history_spec(), 0.4), drawn_events(80)
    written: list[Path] = []

    def killed(path: Path, schema: pa.Schema, tables: Any) -> int:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        return add_states(path, schema, tables)

    found: dict[bool, dict[str, bytes]] = {}
    for kill in (False, True):
        workspace = Workspace.at(tmp_path / str(kill))
        with_events(workspace, spec, table.slice(0, 70), "00000")
        write_states(workspace, spec, definition)
        with_events(workspace, spec, table.slice(70, 6), "00001-new")
        if kill:
            with monkeypatch.context() as patched:
                patched.setattr(states, "add_states", killed)
                with pytest.raises(KeyboardInterrupt):
                    write_states(workspace, spec, definition)
        with_events(workspace, spec, table.slice(76, 4), "00002-new")  # another day comes before it is run again
        write_states(workspace, spec, definition)
        found[kill] = {
            f"{owner} {key}": content
            for owner in ("user", "item")
            for key, (_, content) in newest_of(workspace, spec, definition.version, owner).items()
        }
    assert len(written) == 1
    assert found[True] == found[False]
