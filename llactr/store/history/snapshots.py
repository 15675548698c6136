"""States of history at all moments: a row for every time at which something happened to a key, for joins at any moment.

They lie in the tables of `llactr.store.history.states`, as files `VERSION-...parquet` beside the newest states; so the
views `<dataset>__user_history` and `<dataset>__item_history` give, to whoever names them, the state as of any moment.
`definitions/VERSION/snapshots.json` says which files of events are in them.

New files of events are pushed onto the states that the keys had, and each state after a push becomes a row; nothing is
written anew. Where an event came late, at or before one of its user's or its item's that is there, all rows are made
anew: the residuals of the events behind it change too.

Legend: K keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from llactr import atomic
from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, HISTORY_VERSION, KEY, STATE, TIMESTAMP
from llactr.datasets import table_files
from llactr.history import Event, Events, HistoryDefinition, KeyState, push, snapshots
from llactr.history.layout import Owner
from llactr.manifest import content_hash, hash_once
from llactr.spec import DatasetSpec
from llactr.store.history.newer import newer_prefix, with_newer_items
from llactr.store.history.states import (
    OWNERS,
    DatedState,
    add_states,
    events_of,
    key_names,
    newest_moment,
    read_events,
    state_schema,
    state_tables,
    write_states,
)
from llactr.store.history.versions import definitions_folder
from llactr.workspace import Workspace

__all__ = ["SnapshotsWritten", "has_snapshots", "write_snapshots"]

_NOTE = "snapshots.json"
_EVENTS_AT_ONCE = 50_000
"""New events that are pushed before their states are written: their keys' states are in memory."""

How = Literal["unchanged", "added", "anew", "late"]


@dataclass(frozen=True)
class SnapshotsWritten:
    """What was done.

    Attributes:
        version: of the definition.
        rows: states that were written, of users and items.
        events: of these events.
        how: nothing was new; the new events' states were added; all were made; all were made since events came late.
    """

    version: str
    rows: int
    events: int
    how: How


def write_snapshots(workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition) -> SnapshotsWritten:
    """Brings the states of all moments up to the dataset's events. Run again on the same events it writes nothing.

    The newest states are brought up with them (`write_states`), so that a materialization finds both in step. In memory
    are the events (28 bytes each) and some thousand states; of new events the states of at most 100,000 keys. On the
    disk it is two states an event, about 3 KB before compression with the last 50 events and one source of taste.

    Args:
        workspace: of the dataset.
        spec: with entities user and item.
        definition: whose states.

    Raises:
        NotReadyError: the dataset has not been ingested.
        DataError: its events cannot be read.
    """
    definition = with_newer_items(workspace, spec, definition)
    home = definitions_folder(workspace, spec.name) / definition.version
    files = table_files(workspace.offline_table(spec.name, "events"))
    hashes = [hash_once(path) for path in files]
    covered, kept = _note(home)
    tables = {owner: workspace.offline_table(spec.name, f"{owner}_history") for owner in OWNERS}
    whole = bool(covered) and all((table / name).is_file() for table in tables.values() for name in kept)
    if whole and covered == hashes:
        return SnapshotsWritten(definition.version, 0, 0, "unchanged")
    begun = f"{definition.version}-{len(files):05d}-{content_hash(hashes)[:8]}"
    how: How = "anew"
    if whole and hashes[: len(covered)] == covered:
        rows = read_events(files[len(covered) :], spec)
        how = "late" if _any_late(spec, rows, tables, kept) else "added"
    if how == "late":  # the newest states of former times do not hold the late events
        for table in tables.values():
            for path in table.glob(f"{definition.version}@*.parquet"):
                path.unlink()
    write_states(workspace, spec, definition)
    _forget_files(tables, definition.version, keep=kept if how == "added" else ())  # what a killed run left, too
    if how == "added":
        names, written = _add(spec, definition, rows, tables, kept, begun)
    else:
        _write_note(home, [], [])
        kept, rows = [], read_events(files, spec)
        names, written = [f"{begun}.parquet"], 0
        for owner in OWNERS:
            made = _all(spec, definition, rows, owner, datetime.now(UTC))
            written += add_states(tables[owner] / names[0], state_schema(spec, owner), made)
    _write_note(home, hashes, [*kept, *names])
    return SnapshotsWritten(definition.version, written, rows.num_rows, how)


def has_snapshots(workspace: Workspace, dataset: str, version: str) -> bool:
    """Whether states of all moments were written of a version."""
    return bool(_note(definitions_folder(workspace, dataset) / version)[1])


def _all(
    spec: DatasetSpec, definition: HistoryDefinition, rows: pa.Table, owner: Owner, created: datetime
) -> Iterator[pa.Table]:
    """The states of all moments, by one pass."""
    names, schema = key_names(rows, spec, owner), state_schema(spec, owner)
    hashes = np.sort(np.fromiter(names, np.uint64, len(names)))
    keys = pa.array([names[one] for one in hashes.tolist()], KEY)
    for piece in snapshots(definition, events_of(spec, rows), owner=owner):
        columns = {
            spec.entities[owner].join_key: keys.take(pa.array(np.searchsorted(hashes, piece["key"].to_numpy()))),
            HISTORY_VERSION: pa.repeat(definition.version, len(piece)),
            EVENT_TIMESTAMP: piece[EVENT_TIMESTAMP],
            CREATED_TIMESTAMP: pa.repeat(pa.scalar(created, TIMESTAMP), len(piece)),
            STATE: piece[STATE],
        }
        yield pa.table(columns).cast(schema)


def _add(
    spec: DatasetSpec,
    definition: HistoryDefinition,
    rows: pa.Table,
    tables: dict[Owner, Path],
    kept: list[str],
    begun: str,
) -> tuple[list[str], int]:
    """Writes the states after each of some new events; returns the files' names and the rows."""
    order = pc.sort_indices(rows, sort_keys=[(EVENT_TIMESTAMP, "ascending")])
    names: list[str] = []
    rows, start, written = rows.take(order), 0, 0
    times = rows[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    while start < len(times):
        last = times[min(start + _EVENTS_AT_ONCE, len(times)) - 1]
        end = int(np.searchsorted(times, last, side="right"))  # events of one time make one state
        states = _after_each(spec, definition, rows.slice(start, end - start), tables, [*kept, *names])
        name, start = f"{begun}-{len(names):05d}.parquet", end
        for owner in OWNERS:
            made = state_tables(spec, owner, definition.version, states[owner])
            written += add_states(tables[owner] / name, state_schema(spec, owner), made)
        names.append(name)
    return names, written


def _after_each(
    spec: DatasetSpec,
    definition: HistoryDefinition,
    rows: pa.Table,
    tables: dict[Owner, Path],
    kept: list[str],
) -> dict[Owner, list[DatedState]]:
    """The states of the events' keys at each of their times; events in the order of time."""
    events = events_of(spec, rows)
    known: dict[Owner, dict[int, KeyState]] = {}
    names = {owner: key_names(rows, spec, owner) for owner in OWNERS}
    for owner in OWNERS:
        layout = definition.user if owner == "user" else definition.item
        stored = _newest(tables[owner], spec, owner, definition.version, list(names[owner].values()), kept)
        known[owner] = {
            key: KeyState.from_bytes(definition, layout, stored[name])
            if name in stored
            else KeyState.empty(definition, layout)
            for key, name in names[owner].items()
        }
    # Of several events of a key at one time the last one's state counts: a later entry takes an earlier one's place.
    found: dict[Owner, dict[tuple[int, int], KeyState]] = {owner: {} for owner in OWNERS}
    for event in _each(events):
        after = push(definition, known["user"][event.user], known["item"][event.item], event)
        for owner, key, state in (("user", event.user, after.user), ("item", event.item, after.item)):
            known[owner][key] = found[owner][key, newest_moment(state)] = state
    return {
        owner: [
            DatedState(names[owner][key], moment, state.to_bytes()) for (key, moment), state in found[owner].items()
        ]
        for owner in OWNERS
    }


def _each(events: Events) -> Iterator[Event]:
    columns = (events.user.tolist(), events.item.tolist(), events.time.tolist(), events.outcome.tolist())
    for user, item, time, outcome in zip(*columns, strict=True):
        yield Event(user, item, time, outcome)


def _any_late(spec: DatasetSpec, rows: pa.Table, tables: dict[Owner, Path], kept: Iterable[str]) -> bool:
    """Whether one of some new events lies at or before one of its user's or its item's that is there."""
    names = list(kept)
    for owner in OWNERS:
        key = spec.entities[owner].join_key
        first = rows.group_by(key).aggregate([(EVENT_TIMESTAMP, "min")])
        there = _moments(tables[owner], spec, owner, first[key].to_pylist(), names)
        for name, moment in zip(first[key].to_pylist(), _micros(first[f"{EVENT_TIMESTAMP}_min"]), strict=True):
            if name in there and moment < there[name]:  # a state's moment is a microsecond after its newest event
                return True
    return False


def _moments(table: Path, spec: DatasetSpec, owner: Owner, keys: list[str], names: list[str]) -> dict[str, int]:
    """The newest moment of a state of some keys, in microseconds."""
    join_key = spec.entities[owner].join_key
    found: dict[str, int] = {}
    columns = [join_key, EVENT_TIMESTAMP]
    for batch in _batches([table / name for name in names], join_key, keys, columns):
        for key, moment in zip(batch[join_key].to_pylist(), _micros(batch[EVENT_TIMESTAMP]), strict=True):
            found[key] = max(found.get(key, moment), moment)
    return found


def _newest(
    table: Path, spec: DatasetSpec, owner: Owner, version: str, keys: list[str], names: list[str]
) -> dict[str, bytes]:
    """The newest state of some keys in some files; taken from the files of newest states, which are small, if there."""
    join_key = spec.entities[owner].join_key
    moments = _moments(table, spec, owner, keys, names)
    found: dict[str, bytes] = {}
    small = sorted(table.glob(f"{version}@*.parquet"))
    for paths in (small, [table / name for name in names]):
        missing = [key for key in moments if key not in found]
        for batch in _batches(paths, join_key, missing, [join_key, EVENT_TIMESTAMP, STATE]):
            times = _micros(batch[EVENT_TIMESTAMP])
            wanted = np.flatnonzero(
                [moments[key] == at for key, at in zip(batch[join_key].to_pylist(), times, strict=True)]
            )
            some = batch.take(pa.array(wanted, pa.int64()))
            found.update(zip(some[join_key].to_pylist(), some[STATE].to_pylist(), strict=True))
    return found


def _batches(paths: list[Path], key: str, keys: list[str], columns: list[str]) -> Iterator[pa.RecordBatch]:
    if paths and keys:
        some = pads.dataset([str(path) for path in paths], format="parquet")
        wanted = pads.field(key).isin(pa.array(keys, KEY))
        yield from some.to_batches(columns=columns, filter=wanted, batch_size=8192, batch_readahead=2)


def _micros(column: pa.Array | pa.ChunkedArray) -> list[int]:
    micros: list[int] = column.cast(TIMESTAMP).cast(pa.int64()).to_pylist()
    return micros


def _forget_files(tables: dict[Owner, Path], version: str, *, keep: Iterable[str]) -> None:
    """Removes a version's files of snapshots but for some."""
    names = set(keep)
    for table in tables.values():
        for path in table.glob(f"{version}-*.parquet"):
            if path.name not in names and not path.name.startswith(newer_prefix(version)):
                path.unlink()


def _note(home: Path) -> tuple[list[str], list[str]]:
    """Hashes of the event files that are in the snapshots, and the names of these; empty where nobody can say."""
    try:
        content = json.loads((home / _NOTE).read_text(encoding="utf-8"))
        return [str(one) for one in content["events"]], [str(one) for one in content["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return [], []


def _write_note(home: Path, hashes: list[str], names: list[str]) -> None:
    atomic.write_text(home / _NOTE, json.dumps({"events": hashes, "files": names}))
