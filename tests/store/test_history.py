"""States of history through Feast's own point-in-time join, against the pass over the events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureView

from llactr import store
from llactr.history import HistoryDefinition, KeyState, KeyStates, features, history_rows
from llactr.spec import DatasetSpec, HistorySpec, WindowField
from llactr.store.feast.open import open_store
from llactr.store.history import events_of, write_snapshots
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
    entities["event_timestamp"] = events["event_timestamp"].to_pandas()
    job = open_store(workspace).get_historical_features(entities, [f"{names.history_view(owner)}:state"])
    found = job.to_arrow().sort_by("row")
    return KeyStates.stack(
        [
            KeyStates.empty(definition, layout, 1)
            if content is None
            else KeyState.from_bytes(definition, layout, content).folded
            for content in found["state"].to_pylist()
        ]
    )


def test_states_joined_by_feast_give_the_fields_of_the_pass(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    spec = spec_of(FIELDS).model_copy(update={"history": history_spec()})
    Offline(workspace, spec)
    table = drawn_events()
    definition = HistoryDefinition(history_spec(), 0.4)
    written = write_snapshots(workspace, spec, definition, table)
    # A row for each user and moment, and for each item and moment.
    times = table["event_timestamp"].to_pylist()
    keys = {owner: table[f"{owner}_id"].to_pylist() for owner in ("user", "item")}
    moments = {(owner, pair) for owner in keys for pair in zip(keys[owner], times, strict=True)}
    assert written == len(moments)
    store.apply(workspace)
    users = joined_states(workspace, spec, definition, table, "user")
    items = joined_states(workspace, spec, definition, table, "item")
    events = events_of(spec, table)
    found = features(definition, users, items, events.item, events.time)
    np.testing.assert_array_equal(found, history_rows(definition, events))
    assert write_snapshots(workspace, spec, definition, table) == 0


def test_views_of_history_come_with_the_first_snapshots(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    spec = spec_of(FIELDS).model_copy(update={"history": history_spec()})
    Offline(workspace, spec)

    def views() -> set[str]:
        objects = store.definitions.definitions(workspace)
        return {o.name for o in objects if isinstance(o, FeatureView) and "history" in o.name}

    assert views() == set()
    write_snapshots(workspace, spec, HistoryDefinition(history_spec(), 0.4), drawn_events())
    assert views() == {"small__user_history", "small__item_history"}
