"""History in the offline store: events as the passes read them, what items are like, states as rows of views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.store.history.items import newer_items, read_item_sources
    from llactr.store.history.newer import stored_newer, with_newer_items
    from llactr.store.history.requests import history_of_rows
    from llactr.store.history.snapshots import SnapshotsWritten, has_snapshots, write_snapshots
    from llactr.store.history.states import (
        StatesWritten,
        events_of,
        newest_moment,
        states_hash,
        write_states,
    )
    from llactr.store.history.versions import (
        covered_files,
        definition_of,
        known_definitions,
        known_versions,
        remade_mark,
    )

__all__ = [
    "SnapshotsWritten",
    "StatesWritten",
    "covered_files",
    "definition_of",
    "events_of",
    "has_snapshots",
    "history_of_rows",
    "known_definitions",
    "known_versions",
    "newer_items",
    "newest_moment",
    "read_item_sources",
    "remade_mark",
    "states_hash",
    "stored_newer",
    "with_newer_items",
    "write_snapshots",
    "write_states",
]

__getattr__ = loader(
    __name__,
    {
        "SnapshotsWritten": "snapshots",
        "StatesWritten": "states",
        "covered_files": "versions",
        "definition_of": "versions",
        "events_of": "states",
        "has_snapshots": "snapshots",
        "history_of_rows": "requests",
        "known_definitions": "versions",
        "known_versions": "versions",
        "newer_items": "items",
        "newest_moment": "states",
        "remade_mark": "versions",
        "stored_newer": "newer",
        "with_newer_items": "newer",
        "states_hash": "states",
        "read_item_sources": "items",
        "write_snapshots": "snapshots",
        "write_states": "states",
    },
)
