"""States of history in the offline store: rows of ordinary views, which any join reads and `materialize` puts online.

```
<workspace>/states/<dataset>/
  user_history/, item_history/       tables of a key, `history_version`, `event_timestamp`, `created_timestamp`, `state`
  definitions/<history_version>/     what the states of a version are made by, and which events they cover
```
A state's key is (the entity's key, the version of the history definition): those of two bundles live side by side, here
and online, and a bundle reads its own. A row holds from its event timestamp on: `KeyState.from_bytes(...).at(moment)`
is the past as it counts for any later moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from llactr import atomic
from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, HISTORY_VERSION, KEY, LABEL, STATE, TIMESTAMP
from llactr.datasets import table_files
from llactr.errors import DataError
from llactr.history import (
    Event,
    Events,
    HistoryDefinition,
    KeyState,
    NewerItems,
    key_hashes,
    newest_states,
    push,
)
from llactr.history.layout import Owner
from llactr.manifest import content_hash, hash_once
from llactr.spec import DatasetSpec
from llactr.store.history.items import newer_items
from llactr.store.history.newer import stored_newer, write_newer
from llactr.store.history.versions import covered_by, definitions_folder, note_covered, note_remade
from llactr.store.training import events_table
from llactr.workspace import Workspace

__all__ = [
    "OWNERS",
    "DatedState",
    "StatesWritten",
    "add_states",
    "events_of",
    "key_names",
    "newest_moment",
    "read_events",
    "state_schema",
    "state_tables",
    "states_hash",
    "write_states",
]

OWNERS: tuple[Owner, ...] = ("user", "item")
_ROWS_AT_ONCE = 5000


@dataclass(frozen=True)
class StatesWritten:
    """How many states were written of how many events, and whether they were made anew from all events."""

    version: str
    states: int
    events: int
    anew: bool


def events_of(spec: DatasetSpec, table: pa.Table) -> Events:
    """Events of a table with the join keys, `event_timestamp` and `label`, in its order."""
    keys = {owner: table[spec.entities[owner].join_key].to_pylist() for owner in OWNERS}
    times = table[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return Events.of(keys["user"], keys["item"], times, table[LABEL].to_numpy())


def states_hash(workspace: Workspace, dataset: str) -> str | None:
    """Content hash of the names of the files of states, which never change; None for none."""
    names = [
        path.name for owner in OWNERS for path in table_files(workspace.offline_table(dataset, f"{owner}_history"))
    ]
    return content_hash(names) if names else None


def write_states(workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition) -> StatesWritten:
    """Brings the newest state of every key up to all events of the dataset; views appear with the next `apply`.

    Where events were only added since the last call, the new ones are pushed, one by one, onto the states of their
    keys, and these are written as new rows; the rest is not touched. Otherwise all states are made anew, as they are
    where something else is known by now of an item that came after training and had events before. Run again on the
    same tables it writes nothing.

    Args:
        workspace: of the dataset.
        spec: with entities user and item.
        definition: whose states.
    """
    home = definitions_folder(workspace, spec.name) / definition.version
    files = table_files(workspace.offline_table(spec.name, "events"))
    hashes = [hash_once(path) for path in files]
    covered = covered_by(home)
    newer = newer_items(workspace, spec, definition)
    changed = newer.changed(stored_newer(workspace, spec.name, definition.version) or NewerItems())
    definition = definition.with_newer(newer)
    tables = {owner: workspace.offline_table(spec.name, f"{owner}_history") for owner in OWNERS}
    whole = all(list(table.glob(f"{definition.version}@*.parquet")) for table in tables.values())
    added = covered is not None and whole and hashes[: len(covered)] == covered
    outdated = added and len(changed) > 0 and _happened(changed, files[: len(covered or ())], spec)
    if added and not outdated:
        _forget_unfinished(tables.values(), definition.version, covered=len(covered or ()))
        fresh = files[len(covered or ()) :]
        if not fresh:
            write_newer(workspace, spec, definition.version, newer)
            return StatesWritten(definition.version, 0, 0, anew=False)
        rows = read_events(fresh, spec)
        states: dict[Owner, Iterable[DatedState]] = {**_pushed(spec, definition, rows, tables)}
        anew = False
    else:
        for table in tables.values():
            for path in table.glob(f"{definition.version}@*.parquet"):
                path.unlink()
        rows = events_table(workspace, spec)
        states = {owner: _newest(spec, definition, rows, owner) for owner in OWNERS}
        anew = True
    if not (home / "history.json").exists():
        with workspace.writing(home) as draft:
            definition.save(draft)
    mark = content_hash(newer.to_bytes().hex()) if outdated else ""
    run = content_hash([*hashes, mark] if mark else hashes)[:8]
    name = f"{definition.version}@{len(files):05d}-{run}.parquet"
    written = sum(
        add_states(tables[owner] / name, state_schema(spec, owner), state_tables(spec, owner, definition.version, made))
        for owner, made in states.items()
    )
    if mark:
        note_remade(home, mark)
    note_covered(home, hashes)
    write_newer(workspace, spec, definition.version, newer)  # last: a run that is killed before makes all of it again
    return StatesWritten(definition.version, written, rows.num_rows, anew)


def _forget_unfinished(tables: Iterable[Path], version: str, *, covered: int) -> None:
    """Removes what a run wrote that was killed before it was done: those states hold events that others lack.

    The names of files say of how many files of events they are.
    """
    for table in tables:
        for path in table.glob(f"{version}@*.parquet"):
            if int(path.stem.partition("@")[2].partition("-")[0]) > covered:
                path.unlink()


@dataclass(frozen=True)
class DatedState:
    """A state: its key, the moment from which it holds in microseconds, its bytes."""

    key: str
    moment: int
    state: bytes


def _newest(spec: DatasetSpec, definition: HistoryDefinition, rows: pa.Table, owner: Owner) -> Iterator[DatedState]:
    names, events = key_names(rows, spec, owner), events_of(spec, rows)
    for key, state in newest_states(definition, events, owner=owner):
        yield DatedState(names[key], newest_moment(state), state.to_bytes())


def _pushed(
    spec: DatasetSpec, definition: HistoryDefinition, rows: pa.Table, tables: dict[Owner, Path]
) -> dict[Owner, list[DatedState]]:
    """The states of the keys of some new events, after these."""
    events = events_of(spec, rows)
    known: dict[Owner, dict[int, tuple[int, KeyState]]] = {}
    for owner in OWNERS:
        names = key_names(rows, spec, owner)
        stored = _stored(tables[owner], spec, owner, definition.version, list(names.values()))
        layout = definition.user if owner == "user" else definition.item
        known[owner] = {}
        for key, name in names.items():
            moment, content = stored.get(name, (np.iinfo(np.int64).min, b""))
            state = KeyState.from_bytes(definition, layout, content) if content else KeyState.empty(definition, layout)
            known[owner][key] = (moment, state)
    for at in np.argsort(events.time, kind="stable"):
        event = Event(int(events.user[at]), int(events.item[at]), int(events.time[at]), float(events.outcome[at]))
        (user_moment, user), (item_moment, item) = known["user"][event.user], known["item"][event.item]
        after = push(definition, user, item, event)
        known["user"][event.user], known["item"][event.item] = (user_moment, after.user), (item_moment, after.item)
    return {
        owner: [
            # A late event leaves the newest time as it was: the row must be newer than the one that it corrects.
            DatedState(names[key], max(newest_moment(state), moment + 1), state.to_bytes())
            for key, (moment, state) in known[owner].items()
        ]
        for owner in OWNERS
        for names in (key_names(rows, spec, owner),)
    }


def newest_moment(state: KeyState) -> int:
    """A microsecond after the newest event: the first moment that may ask for it."""
    return state.newest + 1


def _stored(
    folder: Path, spec: DatasetSpec, owner: Owner, version: str, keys: list[str]
) -> dict[str, tuple[int, bytes]]:
    """The newest state of some keys: its moment and bytes."""
    join_key = spec.entities[owner].join_key
    paths = [str(path) for path in sorted(folder.glob(f"{version}@*.parquet"))]
    found: dict[str, tuple[int, bytes]] = {}
    wanted = pads.field(join_key).isin(pa.array(keys, KEY))
    for batch in pads.dataset(paths, format="parquet").to_batches(
        columns=[join_key, EVENT_TIMESTAMP, STATE], filter=wanted
    ):
        moments = batch[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_pylist()
        for key, moment, state in zip(batch[join_key].to_pylist(), moments, batch[STATE].to_pylist(), strict=True):
            if key not in found or found[key][0] < moment:
                found[key] = (moment, state)
    return found


def state_schema(spec: DatasetSpec, owner: Owner) -> pa.Schema:
    """Columns of an owner's states."""
    return pa.schema(
        {
            spec.entities[owner].join_key: KEY,
            HISTORY_VERSION: KEY,
            EVENT_TIMESTAMP: TIMESTAMP,
            CREATED_TIMESTAMP: TIMESTAMP,
            STATE: pa.binary(),
        }
    )


def add_states(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Adds a file of states, one table in memory at a time, unless there is one of that name; returns its rows."""
    written = [0]

    def write(draft: Path) -> None:
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
                written[0] += table.num_rows

    return written[0] if atomic.add_file(path, write) else 0


def state_tables(spec: DatasetSpec, owner: Owner, version: str, rows: Iterable[DatedState]) -> Iterator[pa.Table]:
    """States as tables of some thousand rows."""
    schema, created = state_schema(spec, owner), datetime.now(UTC)
    for some in _pieces(rows):
        columns = [
            [row.key for row in some],
            [version] * len(some),
            [row.moment for row in some],
            [created] * len(some),
            [row.state for row in some],
        ]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
        yield pa.Table.from_arrays(arrays, schema=schema)


def _pieces(rows: Iterable[DatedState]) -> Iterator[list[DatedState]]:
    some: list[DatedState] = []
    for row in rows:
        some.append(row)
        if len(some) == _ROWS_AT_ONCE:
            yield some
            some = []
    yield some


def _happened(items: NDArray[np.uint64], paths: list[Path], spec: DatasetSpec) -> bool:
    """Whether one of some items, by their hashes, has an event."""
    known = read_events(paths, spec)[spec.entities["item"].join_key].unique().to_pylist() if paths else []
    return bool(np.isin(items, key_hashes(known)).any())


def read_events(paths: list[Path], spec: DatasetSpec) -> pa.Table:
    """Keys, times and labels of some files of the dataset's events."""
    columns = [*(spec.entities[owner].join_key for owner in OWNERS), EVENT_TIMESTAMP, LABEL]
    try:
        return pa.concat_tables([pq.read_table(path, columns=columns, partitioning=None) for path in paths])
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(f"the events of {spec.name!r} cannot be read ({said}): run 'llactr ingest' again") from None


def key_names(table: pa.Table, spec: DatasetSpec, owner: Owner) -> dict[int, str]:
    """Hash -> key of an owner's keys."""
    distinct = table[spec.entities[owner].join_key].unique().to_pylist()
    return dict(zip(key_hashes(distinct).tolist(), distinct, strict=True))
