"""A workspace with a history definition whose states are online, and the states as events pushed one by one leave them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.history import Event, HistoryDefinition, ItemVectors, KeyState, key_hashes, push
from llactr.history.definition import StateLayout
from llactr.spec import DatasetSpec, HistorySpec, TasteField, WindowField, load_spec
from llactr.store import apply, events_table, materialize, open_store
from llactr.store.events import LoggedEvent, Pusher, state_store
from llactr.store.history import events_of, write_states
from llactr.workspace import Workspace
from tests.store.store_workspace import at, small

ITEMS = [f"i{n}" for n in range(1, 7)]


def definition_of(*, delay: int = 0, seed: int = 0) -> HistoryDefinition:
    """Windows of users and items and a regression on random vectors."""

    def window(owner: Any, measure: Any) -> WindowField:
        return WindowField(name=f"{owner}_{measure}", description="past", kind="window", owner=owner, measure=measure)

    taste = TasteField(name="fits", description="fit", kind="taste", vectors="text", measure="regression")
    spec = HistorySpec(outcome_delay=delay, last=6, fields=(window("user", "count"), window("item", "rate"), taste))
    hashes = key_hashes(ITEMS)
    order = np.argsort(hashes)
    vectors = np.random.default_rng(seed).normal(size=(len(ITEMS), 3)).astype(np.float32)
    return HistoryDefinition(spec, 0.4, {"text": ItemVectors(hashes[order], vectors[order])})


def microseconds(hours: float) -> int:
    return round(at(hours).timestamp() * 1_000_000)


def drawn(count: int, *, seed: int = 0, first: float = 10, step: float = 0.5) -> list[LoggedEvent]:
    """Events of few users and items, an hour and more after those of the workspace."""
    rng = np.random.default_rng(seed)
    return [
        LoggedEvent(
            f"u{rng.integers(1, 6)}", f"i{rng.integers(1, 8)}", microseconds(first + step * n), float(rng.integers(2))
        )
        for n in range(count)
    ]


class Online:
    """A workspace of five events whose states are online."""

    def __init__(self, root: Path, config: Path | None, *, there: bool = False) -> None:
        self.config = config
        self.workspace: Workspace = Workspace.at(root)
        self.definition = definition_of()
        self.offline = small(root) if not there else None
        self.spec: DatasetSpec = load_spec(self.workspace.dataset("small") / "spec.yaml")
        if not there:
            write_states(self.workspace, self.spec, self.definition)

    def add_event(self, event: LoggedEvent) -> None:
        """Adds an event to the dataset as an ingest does."""
        folder = self.workspace.offline_table("small", "events")
        known = pq.read_table(next(folder.glob("*.parquet")))
        columns = {
            "user_id": [event.user],
            "item_id": [event.item],
            "event_timestamp": [datetime.fromtimestamp(event.time / 1e6, UTC)],
            "label": [event.outcome],
            "device": ["tv"],
        }
        pq.write_table(pa.table(columns, schema=known.schema), folder / "part-00009-added.parquet")

    @property
    def version(self) -> str:
        return self.definition.version

    def fill(self) -> None:
        apply(self.workspace, config=self.config)
        materialize(self.workspace, config=self.config)

    def pusher(self, *definitions: HistoryDefinition) -> Pusher:
        store = open_store(self.workspace, config=self.config)
        chosen = definitions or (self.definition,)
        return Pusher(self.workspace, self.spec, store, {one.version: one for one in chosen})

    def states(self, definition: HistoryDefinition | None = None) -> dict[tuple[str, str], bytes | None]:
        """What is online, by owner and key."""
        definition = definition or self.definition
        states = state_store(open_store(self.workspace, config=self.config), self.spec)
        found: dict[tuple[str, str], bytes | None] = {}
        for owner, keys in (("user", [f"u{n}" for n in range(1, 7)]), ("item", [f"i{n}" for n in range(1, 8)])):
            for key, content in zip(keys, states.read(definition.version, owner, keys), strict=True):  # type: ignore[arg-type]
                found[owner, key] = content
        return found

    def expected(
        self, pushed: list[LoggedEvent], definition: HistoryDefinition | None = None
    ) -> dict[tuple[str, str], bytes | None]:
        """The states after the workspace's five events and some pushed ones, one by one, without a store."""
        definition = definition or self.definition
        table = events_table(self.workspace, self.spec).slice(0, 5)
        events = events_of(self.spec, table)
        names = {owner: table[f"{owner}_id"].to_pylist() for owner in ("user", "item")}
        logged = [
            LoggedEvent(names["user"][n], names["item"][n], int(events.time[n]), float(events.outcome[n]))
            for n in range(len(events))
        ]
        return pushed_one_by_one(definition, [*logged, *pushed])


def pushed_one_by_one(definition: HistoryDefinition, events: list[LoggedEvent]) -> dict[tuple[str, str], bytes | None]:
    known: dict[tuple[str, str], KeyState] = {}

    def state(owner: str, key: str, layout: StateLayout) -> KeyState:
        return known.get((owner, key)) or KeyState.empty(definition, layout)

    for event in events:
        user, item = state("user", event.user, definition.user), state("item", event.item, definition.item)
        hashes = key_hashes([event.user, event.item])
        pushed = push(definition, user, item, Event(int(hashes[0]), int(hashes[1]), event.time, event.outcome))
        if pushed.counted:
            known["user", event.user], known["item", event.item] = pushed.user, pushed.item
    every = [("user", f"u{n}") for n in range(1, 7)] + [("item", f"i{n}") for n in range(1, 8)]
    return {one: known[one].to_bytes() if one in known else None for one in every}
