"""States of history in the offline store: snapshots as rows of ordinary views, which any join can read."""

from __future__ import annotations

import pyarrow as pa

from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, LABEL
from llactr.history import Events, HistoryDefinition, key_hashes, snapshots
from llactr.manifest import content_hash
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store.tables import add_file
from llactr.workspace import Workspace

__all__ = ["events_of", "write_snapshots"]

_OWNERS: tuple[EntityOwner, ...] = ("user", "item")


def events_of(spec: DatasetSpec, table: pa.Table) -> Events:
    """Events of a table with the join keys, `event_timestamp` and `label`, in its order."""
    keys = {owner: table[spec.entities[owner].join_key].to_pylist() for owner in _OWNERS}
    times = table[EVENT_TIMESTAMP].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return Events.of(keys["user"], keys["item"], times, table[LABEL].to_numpy())


def write_snapshots(workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, table: pa.Table) -> int:
    """Writes the states of all users and items of some events into the offline store; returns how many.

    The first moment of a state is the row's event timestamp (`llactr.history.snapshots`), so any point-in-time join
    gives the past as it counts. Views of these tables appear with the next `apply`. Run again on the same events it
    adds nothing.

    Args:
        workspace: of the dataset.
        spec: with `history`.
        definition: made from it.
        table: the events, as `llactr.store.training.events_table` gives them.
    """
    events, written = events_of(spec, table), 0
    for owner in _OWNERS:
        key = spec.entities[owner].join_key
        distinct = table[key].unique().to_pylist()
        names = dict(zip(key_hashes(distinct).tolist(), distinct, strict=True))
        layout = definition.user if owner == "user" else definition.item
        run = content_hash([layout.fingerprint, events.time.tolist(), events.user.tolist(), events.item.tolist()])[:16]
        folder = workspace.offline_table(spec.name, f"{owner}_history")
        pieces = []
        for piece in snapshots(definition, events, owner=owner):
            times = piece[EVENT_TIMESTAMP]
            keys = pa.array([names[value] for value in piece["key"].to_pylist()], pa.string())
            pieces.append(
                pa.table({key: keys, EVENT_TIMESTAMP: times, CREATED_TIMESTAMP: times, "state": piece["state"]})
            )
        whole = pa.concat_tables(pieces)
        written += len(whole) if add_file(folder / f"{run}.parquet", whole) else 0
    return written
