"""History in the offline store: events as the passes read them, what items are like, states as rows of views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.store.history.items import read_item_sources
    from llactr.store.history.requests import history_of_rows
    from llactr.store.history.snapshots import SnapshotsWritten, has_snapshots, write_snapshots
    from llactr.store.history.states import (
        StatesWritten,
        covered_files,
        definition_of,
        events_of,
        known_definitions,
        known_versions,
        newest_moment,
        states_hash,
        write_states,
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
    "newest_moment",
    "read_item_sources",
    "states_hash",
    "write_snapshots",
    "write_states",
]

__getattr__ = loader(
    __name__,
    {
        "SnapshotsWritten": "snapshots",
        "StatesWritten": "states",
        "covered_files": "states",
        "definition_of": "states",
        "events_of": "states",
        "has_snapshots": "snapshots",
        "history_of_rows": "requests",
        "known_definitions": "states",
        "known_versions": "states",
        "newest_moment": "states",
        "states_hash": "states",
        "read_item_sources": "items",
        "write_snapshots": "snapshots",
        "write_states": "states",
    },
)
