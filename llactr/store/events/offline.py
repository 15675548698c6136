"""Logged events as rows of the dataset's own events, each once, however often they are taken in.

`taken.json` beside the log says of every file of events that came out of it up to which positions it holds the log. It
is written before the file takes its place: one that never does is no file of the dataset, and its line means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llactr import atomic
from llactr.columns import EVENT_TIMESTAMP, LABEL, TIMESTAMP
from llactr.datasets import table_files
from llactr.datasets.append import append_events
from llactr.datasets.events import event_schema
from llactr.datasets.summary import IngestSummary
from llactr.errors import StoreError
from llactr.manifest import hash_once
from llactr.spec import DatasetSpec
from llactr.store.events.log import EventLog, LoggedEvent
from llactr.store.training import events_table
from llactr.workspace import Workspace

__all__ = ["event_rows", "positions_in", "take_in", "taken_files", "untaken_events"]

_TAKEN = "taken.json"


def event_rows(spec: DatasetSpec, events: Sequence[LoggedEvent]) -> pa.Table:
    """Events in the columns of the dataset's events."""
    schema = event_schema(spec)
    keys = {spec.entities["user"].join_key: "user", spec.entities["item"].join_key: "item"}
    columns: list[pa.Array] = []
    for column in schema:
        if column.name in keys:
            values: list[Any] = [getattr(event, keys[column.name]) for event in events]
        elif column.name == EVENT_TIMESTAMP:
            columns.append(pa.array([event.time for event in events], pa.int64()).cast(TIMESTAMP))
            continue
        elif column.name == LABEL:
            values = [event.outcome for event in events]
        else:
            values = [(event.context or {}).get(column.name) for event in events]
            if pa.types.is_timestamp(column.type):
                micros = pa.array(values, pa.int64())
                columns.append(micros.cast(column.type))
                continue
        columns.append(pa.array(values, column.type))
    return pa.table(columns, schema=schema)


def take_in(workspace: Workspace, spec: DatasetSpec) -> IngestSummary | None:
    """Adds the logged events that the dataset has not yet; None where there are none.

    An event with the user, item and time of one that is there is that one.

    Raises:
        NotReadyError: the dataset has not been ingested.
        DataError: the log holds events before the dataset's first one.
        StoreError: the log is damaged.
    """
    log = EventLog(workspace, spec.name)
    known = _noted(log)
    rows, positions = _waiting(workspace, spec, log)
    if rows is None or not rows.num_rows:
        return None

    def announce(digest: str) -> None:
        atomic.write_text(log.folder / _TAKEN, json.dumps({**known, digest: positions}, indent=1) + "\n")

    return append_events(spec, workspace, rows, announce=announce)


def untaken_events(workspace: Workspace, spec: DatasetSpec) -> int:
    """How many logged events `take_in` would add.

    Raises:
        NotReadyError, StoreError: see `take_in`.
    """
    rows, _ = _waiting(workspace, spec, EventLog(workspace, spec.name))
    return 0 if rows is None else rows.num_rows


def _waiting(workspace: Workspace, spec: DatasetSpec, log: EventLog) -> tuple[pa.Table | None, dict[str, int]]:
    """The logged events that the dataset does not have, and up to where the log holds no other ones."""
    start = _furthest(taken_files(workspace, spec.name).values())
    events, positions = [], dict(start)
    for segment in log.segments():
        for frame in log.frames(segment, start.get(segment, 0)):
            events += frame.events
            positions[segment] = frame.end
    return (_unknown(workspace, spec, event_rows(spec, events)) if events else None), positions


def taken_files(workspace: Workspace, dataset: str) -> dict[str, dict[str, int]]:
    """Hash of a file of events that came out of the log -> segment -> position up to which the log is in it.

    A file keeps its name, which ends in the hash that it began with, when users leave it.
    """
    files = table_files(workspace.offline_table(dataset, "events"))
    known = {digest[:8]: positions for digest, positions in _noted(EventLog(workspace, dataset)).items()}
    return {hash_once(path): known[end] for path in files if (end := path.stem.rpartition("-")[2]) in known}


def positions_in(workspace: Workspace, dataset: str, files: Collection[str]) -> dict[str, int]:
    """Segment -> position up to which the log is in some files of events, by their hashes."""
    taken = taken_files(workspace, dataset)
    return _furthest(positions for digest, positions in taken.items() if digest in files)


def _furthest(some: Iterable[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for positions in some:
        for segment, position in positions.items():
            found[segment] = max(found.get(segment, 0), position)
    return found


def _unknown(workspace: Workspace, spec: DatasetSpec, rows: pa.Table) -> pa.Table:
    """The rows whose user, item and time are not there yet, each once, in the order of time."""
    names = [spec.entities["user"].join_key, spec.entities["item"].join_key, EVENT_TIMESTAMP]

    def identities(table: pa.Table) -> Iterator[tuple[Any, ...]]:
        columns = [table[name].cast(pa.int64()) if name == EVENT_TIMESTAMP else table[name] for name in names]
        return zip(*(column.to_pylist() for column in columns), strict=True)

    users = pc.unique(rows[names[0]])
    there = events_table(workspace, spec).select(names)
    seen = set(identities(there.filter(pc.is_in(there[names[0]], users))))
    kept = []
    for number, identity in enumerate(identities(rows)):
        if identity not in seen:
            seen.add(identity)
            kept.append(number)
    rows = rows.take(pa.array(kept, pa.int64()))
    order = np.argsort(rows[EVENT_TIMESTAMP].cast(pa.int64()).to_numpy(), kind="stable")
    return rows.take(pa.array(order))


def _noted(log: EventLog) -> dict[str, dict[str, int]]:
    path: Path = log.folder / _TAKEN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(digest): {str(s): int(p) for s, p in one.items()} for digest, one in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({type(error).__name__}): restore it from a copy") from None
