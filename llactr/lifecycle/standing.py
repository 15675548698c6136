"""Whether the states of a history version stand: offline up to the dataset's events, online up to the offline ones.

A bundle that reads history names one version. Its states offline cover some files of events; the online store has a
note of which of them it was filled with, and up to where the log of pushed events was applied to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.columns import EVENT_TIMESTAMP
from llactr.datasets import table_files
from llactr.lifecycle.findings import Finding
from llactr.manifest import hash_once
from llactr.spec import DatasetSpec
from llactr.store.events import EventLog, state_store
from llactr.store.events.filling import snapshot_of
from llactr.store.events.offline import taken_files, untaken_events
from llactr.store.feast.open import open_store
from llactr.store.history import covered_files
from llactr.workspace import Workspace

__all__ = ["states_standing"]

_MATERIALIZE = "run 'llactr materialize'"


def states_standing(workspace: Workspace, spec: DatasetSpec, version: str) -> Iterator[Finding]:
    """What is behind, or that nothing is.

    Args:
        workspace: of the dataset.
        spec: with users and items.
        version: of the history definition that a bundle reads.

    Raises:
        NotReadyError: nothing has been applied, or the online store cannot hold states.
        StoreError: the online store, or the log, cannot be read.
    """
    behind = list(_behind(workspace, spec, version))
    for said, do in behind:
        yield Finding(area="history", state="look", said=said, do=do)
    if not behind:
        yield Finding(area="history", state="well", said=f"its states {version} hold all events, offline and online")


def _behind(workspace: Workspace, spec: DatasetSpec, version: str) -> Iterator[tuple[str, str]]:
    """What is said of each thing that is behind, and what to do."""
    files = {hash_once(path): path for path in table_files(workspace.offline_table(spec.name, "events"))}
    covered = covered_files(workspace, spec.name, version)
    if covered is None:
        yield (f"there are no states of its history {version} offline", _MATERIALIZE)
        return
    pushed = taken_files(workspace, spec.name)
    missing = {digest: path for digest, path in files.items() if digest not in covered}
    others = [path for digest, path in missing.items() if digest not in pushed]
    if others:
        yield (
            f"its states do not hold {_rows(others):,} events that came since, the newest of {_newest(others)}",
            _MATERIALIZE,
        )
    log = EventLog(workspace, spec.name)
    states = state_store(open_store(workspace), spec)
    try:
        note = states.filled(version)
        applied = states.positions(version)
    finally:
        states.close()
    if note is None or not note.whole:
        yield (f"the states of its history {version} are not online whole", _MATERIALIZE)
    elif note.snapshot != snapshot_of(workspace, spec.name, version)[0]:
        yield ("its states offline hold events that those online do not", _MATERIALIZE)
    elif waiting := _after(log, applied):
        yield (
            f"{waiting:,} pushed events are logged and not in its states online",
            "start the service, or run 'llactr push': either applies them",
        )
    if untaken := untaken_events(workspace, spec):
        yield (f"{untaken:,} pushed events are not in the dataset yet", "run 'llactr push'")


def _after(log: EventLog, positions: dict[str, int]) -> int:
    """How many logged events lie behind some positions."""
    return sum(len(frame.events) for name in log.segments() for frame in log.frames(name, positions.get(name, 0)))


def _rows(paths: list[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


def _newest(paths: list[Path]) -> str:
    newest: datetime = max(
        pc.max(pq.read_table(path, columns=[EVENT_TIMESTAMP], partitioning=None)[EVENT_TIMESTAMP]).as_py()
        for path in paths
        if pq.read_metadata(path).num_rows
    )
    return f"{newest.astimezone(UTC):%Y-%m-%d %H:%M}"
