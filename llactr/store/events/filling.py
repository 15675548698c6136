"""Brings the newest states of history online from the offline store, so that no newer state is overwritten.

A history version that is online whole goes on by pushed events: its states are left alone. One that is not, or whose
offline states hold events that came another way than by a push, is filled: its positions in the event log go first, so
that no event is applied meanwhile; then its states come; last the positions up to which they hold the log. Whoever
pushes or serves then applies the rest.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore, FeatureView
from numpy.typing import NDArray

from llactr.columns import DATASET, HISTORY_VERSION
from llactr.history import NEWER_ITEMS, NewerItems, key_hashes
from llactr.manifest import content_hash
from llactr.spec import EntityOwner, load_spec
from llactr.store.events.base import StateStore
from llactr.store.events.choice import state_store
from llactr.store.events.log import EventLog
from llactr.store.events.offline import positions_in, taken_files
from llactr.store.feast.forget import forget_rows
from llactr.store.history import covered_files, remade_mark, stored_newer
from llactr.store.keysets import KeySet
from llactr.store.names import PhysicalNames
from llactr.workspace import Workspace

__all__ = ["fill_states", "filling_again", "is_history", "pushed_keys", "snapshot_of"]

_LOG = logging.getLogger(__name__)
_SAMPLE = 200
_AGAIN: contextvars.ContextVar[bool] = contextvars.ContextVar("again", default=False)


def is_history(view: FeatureView) -> bool:
    """Whether a view holds states of history."""
    return HISTORY_VERSION in view.join_keys


@contextlib.contextmanager
def filling_again() -> Iterator[None]:
    """Within the block, versions are filled although they are online: their states may be damaged."""
    token = _AGAIN.set(True)
    try:
        yield
    finally:
        _AGAIN.reset(token)


def fill_states(
    store: FeatureStore,
    view: FeatureView,
    newest: Callable[[], Iterator[pa.RecordBatch]],
    write: Callable[[pa.RecordBatch], None],
) -> None:
    """Brings one view's states online, of all versions that are not.

    Args:
        store: the feature store.
        view: of users' or items' states.
        newest: reads the newest row of each key and version offline, under the view's names.
        write: writes such rows online.

    Raises:
        NotReadyError: the online store cannot take events.
        StoreError: the online store, or the offline states, cannot be used.
    """
    table = Path(view.batch_source.path)
    owner: EntityOwner = "user" if table.name == "user_history" else "item"
    workspace = Workspace(table.parents[2])
    spec = load_spec(workspace.dataset(view.tags[DATASET]) / "spec.yaml")
    key = PhysicalNames(spec).join_key(owner)
    states = state_store(store, spec)
    try:
        versions = sorted({path.name.replace("@", "-").split("-")[0] for path in table.glob("*.parquet")})
        wanted: dict[str, tuple[str, dict[str, int]]] = {}
        placed: list[str] = []
        pushed = functools.cache(lambda: _pushed_items(EventLog(workspace, spec.name)))
        for version in versions:
            name, positions = snapshot_of(workspace, spec.name, version)
            if not _stands(states, version, name, owner, lambda v=version: _sample(newest, v, key)):  # type: ignore[misc]
                wanted[version] = name, positions
            items = _newer(workspace, spec.name, version, states)
            if len(items) and np.isin(items, pushed()).any():
                wanted[version] = name, positions  # their events were folded in before their vectors were known
            if len(items) and owner == "item":
                placed.append(version)
        if not wanted and not placed:
            return
        for version, (name, _) in wanted.items():
            states.begin(version, name)
        some, changed = pa.array(list(wanted), pa.string()), pa.array(placed, pa.string())
        written: set[tuple[str, str]] = set()
        for batch in newest():
            ours = pc.and_(pc.equal(batch.column(key), NEWER_ITEMS), pc.is_in(batch.column(HISTORY_VERSION), changed))
            rows = batch.filter(pc.or_(pc.is_in(batch.column(HISTORY_VERSION), some), ours))
            if rows.num_rows:
                write(rows)
                written.update(zip(rows.column(HISTORY_VERSION).to_pylist(), rows.column(key).to_pylist(), strict=True))
        _forget_pushed(store, view, EventLog(workspace, spec.name), owner, key, list(wanted), written)
        for version, (name, positions) in wanted.items():
            states.finish(version, name, owner, positions)
            _LOG.info("history %s of %s: the states of all %ss are online", version, spec.name, owner)
    finally:
        states.close()


def _newer(workspace: Workspace, dataset: str, version: str, states: StateStore) -> NDArray[np.uint64]:
    """Hashes of the items that came after training of which the online store does not know what is known by now."""
    offline = stored_newer(workspace, dataset, version)
    if offline is None:
        return np.empty(0, np.uint64)
    return offline.changed(NewerItems.from_bytes(states.read(version, "item", [NEWER_ITEMS])[0]))


def _pushed_items(log: EventLog) -> NDArray[np.uint64]:
    """Hashes of the items of all pushed events."""
    items = {event.item for name in log.segments() for frame in log.frames(name) for event in frame.events}
    return key_hashes(sorted(items))


def _forget_pushed(
    store: FeatureStore,
    view: FeatureView,
    log: EventLog,
    owner: EntityOwner,
    key: str,
    versions: list[str],
    written: set[tuple[str, str]],
) -> None:
    """Removes the states of keys that only pushed events made: the log will make them again."""
    gone = pushed_keys(log, owner, key, versions, written)
    if len(gone):
        forget_rows(store, view, gone)


def pushed_keys(
    log: EventLog, owner: EntityOwner, key: str, versions: Collection[str], but: Collection[tuple[str, str]] = ()
) -> KeySet:
    """The states that the log's events may have made, of some versions: their keys, without those in `but`.

    Args:
        log: of the dataset.
        owner: whose states.
        key: the owner's join key.
        versions: of history.
        but: (version, key) to leave out.
    """
    keys = {getattr(event, owner) for name in log.segments() for frame in log.frames(name) for event in frame.events}
    found = [(version, one) for version in versions for one in sorted(keys) if (version, one) not in but]
    return KeySet.of(pa.table({HISTORY_VERSION: [one for one, _ in found], key: [one for _, one in found]}))


def snapshot_of(workspace: Workspace, dataset: str, version: str) -> tuple[str, dict[str, int]]:
    """A name for the events in a version's states that were not pushed, and up to where the log is in them."""
    covered = covered_files(workspace, dataset, version)
    pushed = taken_files(workspace, dataset)
    others = None if covered is None else sorted(set(covered) - set(pushed))
    files = list(pushed) if covered is None else covered
    mark = remade_mark(workspace, dataset, version)
    return content_hash([version, others, *([mark] if mark else ())])[:16], positions_in(workspace, dataset, files)


def _stands(states: StateStore, version: str, name: str, owner: EntityOwner, sample: Callable[[], list[str]]) -> bool:
    """Whether an owner's states, or newer ones, are online."""
    note = states.filled(version)
    if note is None or note.snapshot != name or not note.whole or _AGAIN.get():
        return False
    return None not in states.read(version, owner, sample())


def _sample(newest: Callable[[], Iterator[pa.RecordBatch]], version: str, key: str) -> list[str]:
    for batch in newest():
        mine = pc.equal(batch.column(HISTORY_VERSION), version)
        rows = batch.filter(pc.and_(mine, pc.not_equal(batch.column(key), NEWER_ITEMS)))
        if rows.num_rows:
            keys: list[str] = rows.column(key).slice(0, _SAMPLE).to_pylist()
            return keys
    return []
