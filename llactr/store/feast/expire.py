"""Rows that go from the online store between two materializations: of dead versions, and of keys that are forgotten."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore, FeatureView

from llactr.columns import DATASET, FIELD, HISTORY_VERSION, SEMANTICS_VERSION, VALUE
from llactr.errors import NotReadyError, StoreError
from llactr.spec import DatasetSpec, EntityOwner, Field
from llactr.store.events.choice import state_store
from llactr.store.events.filling import pushed_keys
from llactr.store.events.log import EventLog
from llactr.store.feast.failures import store_failures
from llactr.store.feast.forget import forget_rows
from llactr.store.feast.online_state import lost_keys, registered_views
from llactr.store.feast.open import open_store
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from llactr.store.history import known_versions
from llactr.store.ingested import dataset_spec
from llactr.store.keysets import KeySet
from llactr.store.marks import Mark, Marks, new_run
from llactr.store.names import PhysicalNames
from llactr.store.tables import VALUE_SEMANTICS
from llactr.workspace import Workspace

__all__ = ["compact", "expire_users", "expire_versions"]

_LOG = logging.getLogger(__name__)
_COMPACT_S = 15.0
_PIECE = 5_000


def expire_versions(
    workspace: Workspace, alive: Mapping[str, Collection[str]], *, config: Path | None = None
) -> dict[str, int]:
    """Takes the rows of versions that are not alive out of views of vectors and states; the others stay as they are.

    Killed anywhere, a second call ends the same: the marks list the keys until the rows are gone.

    Args:
        workspace: where.
        alive: view of vectors -> `DATASET@VERSION`, view of states -> `VERSION`: all that stay.
        config: see `open_store`.

    Returns:
        view -> rows taken out; views of none are left out.

    Raises:
        StoreError: the online store does not answer.
    """
    store = open_store(workspace, config=config)
    known = set(registered_views(workspace, config=config))
    removed = {}
    with store_failures("removing rows of dead versions", then="run 'llactr gc' again"):
        marks = Marks(store.config, store.provider.online_store)
        for view, names in alive.items():
            if view in known and (count := _expire(workspace, store, marks, view, set(names))):
                removed[view] = count
        if removed and not compact(store):
            _LOG.info("the online store's log could not be emptied: somebody reads an old state of it")
    return removed


def expire_users(
    workspace: Workspace, spec: DatasetSpec, keys: Collection[str], *, config: Path | None = None
) -> dict[str, int]:
    """Takes users' rows out of all views that are keyed by the user, and their values' vectors; and out of the marks.

    The marks go first: a user whose row is still there is scored by it, one whose row is gone is a new one, and at no
    moment a request is refused. Another run is marked, so that services let go of what they have cached. Killed
    anywhere, a second call removes what is left.

    Args:
        workspace: where.
        spec: with an entity `user`.
        keys: of users.
        config: see `open_store`.

    Returns:
        view -> rows that were there; views of none are left out.

    Raises:
        StoreError: the online store does not answer, is being filled, or keeps an old state in its file because
            somebody reads it.
    """
    known = registered_views(workspace, config=config)
    if not known:
        return {}
    store = open_store(workspace, config=config)
    names = PhysicalNames(spec)
    texts = [field.name for field in spec.text_fields if field.owner == "user" and _reads_key(spec, field)]
    removed = {}
    with store_failures("removing users from the online store", then="run 'llactr forget' again"):
        marks = Marks(store.config, store.provider.online_store)
        marks.prepare()
        key = names.join_key("user")
        for view in (names.view("user"), names.history_view("user")):
            if view in known:
                removed[view] = _forget(store, marks, view, {key: keys}, versions=known_versions(workspace, spec.name))
        if texts and VALUE_SEMANTICS in known:
            wanted = {DATASET: [spec.name], FIELD: texts, VALUE: keys}
            removed[VALUE_SEMANTICS] = _forget(store, marks, VALUE_SEMANTICS, wanted)
        if not compact(store):
            raise StoreError(
                "the rows are removed, but somebody reads an old state of the online store, whose file therefore still "
                "holds them: end that reader, and run 'llactr forget' again"
            )
    return {view: count for view, count in removed.items() if count}


def _reads_key(spec: DatasetSpec, field: Field) -> bool:
    return bool(field.column == spec.entities["user"].join_key)


def _forget(
    store: FeatureStore,
    marks: Marks,
    view: str,
    wanted: Mapping[str, Collection[str]],
    *,
    versions: Collection[str] = (),
) -> int:
    """Removes the rows whose keys hold the texts: those that the marks list, and those of keys as they are given.

    Of states that only pushed events have made the marks list nothing: they are of one of the history's `versions`.
    """
    mark = marks.read([view])[view]
    if mark is not None and mark.writing:
        raise StoreError(f"{view!r} is being filled, or its filling was killed: run 'llactr materialize' first")
    listed = marks.keys(view, mark)
    gone = KeySet.of(pa.table({}))
    if listed is not None and len(listed):
        found = pa.array([True] * len(listed))
        for name, texts in wanted.items():
            found = pc.and_(found, pc.is_in(listed.columns[name], pa.array(sorted(texts), pa.string())))
        mask = np.asarray(found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found)
        gone = KeySet(listed.columns.filter(pa.array(mask)), listed.prints[mask])
        if len(gone):
            run = new_run()
            marks.begin([view], run)
            marks.complete(view, run, listed.minus(gone))
    registered = store.get_feature_view(view)
    columns = [column.name for column in registered.entity_columns]
    if len(wanted) == 1 and sorted(columns) == sorted(wanted):
        gone = gone.union(KeySet.of(pa.table({name: [*texts] for name, texts in wanted.items()})))
    elif len(wanted) == 1 and sorted(columns) == sorted([*wanted, HISTORY_VERSION]):
        ((name, texts),) = wanted.items()
        both = [(text, version) for version in versions for text in texts]
        table = {name: pa.array([text for text, _ in both], pa.string())}
        table[HISTORY_VERSION] = pa.array([version for _, version in both], pa.string())
        gone = gone.union(KeySet.of(pa.table(table)))
    pieces = [gone.slice(start, _PIECE) for start in range(0, len(gone), _PIECE)]
    there = sum(len(piece) - lost_keys(store, view, piece) for piece in pieces)
    forget_rows(store, registered, gone)
    return there


def compact(store: FeatureStore) -> bool:
    """Has deleted rows leave the bytes of the store's files; True for a store that is no file.

    Waits for readers of an old state, for some seconds.
    """
    online: Any = store.provider.online_store
    if not isinstance(online, WorkspaceSqliteOnlineStore):
        return True
    deadline = time.monotonic() + _COMPACT_S
    while not online.compact(store.config):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _expire(workspace: Workspace, store: FeatureStore, marks: Marks, view: str, alive: set[str]) -> int:
    mark = marks.read([view])[view]
    keys = marks.keys(view, mark)
    if mark is None or keys is None or not mark.run:
        return 0  # never filled, or by an engine that does not tell which keys it wrote
    versions = [name for name in (DATASET, SEMANTICS_VERSION, HISTORY_VERSION) if name in keys.columns.column_names]
    names = pc.binary_join_element_wise(*(keys.columns[name] for name in versions), "@")
    stays = pc.is_in(names, pa.array(sorted(alive), pa.string())).combine_chunks()
    gone = KeySet(keys.columns.filter(pc.invert(stays)), keys.prints[~stays.to_numpy(zero_copy_only=False)])
    if not len(gone):
        return 0
    registered = store.get_feature_view(view)
    pushed = _dropped(workspace, store, registered, gone).minus(gone)
    there = len(pushed) - lost_keys(store, view, pushed) if len(pushed) else 0
    _marked(marks, view, mark, keys.minus(gone), lambda: forget_rows(store, registered, gone.union(pushed)))
    return len(gone) + there


def _dropped(workspace: Workspace, store: FeatureStore, view: FeatureView, gone: KeySet) -> KeySet:
    """Of a view of states: no event is applied to the versions any more; the keys that events have made, unlisted."""
    nothing = KeySet.of(pa.table({}))
    if HISTORY_VERSION not in gone.columns.column_names:
        return nothing
    versions = pc.unique(gone.columns[HISTORY_VERSION]).to_pylist()
    spec = dataset_spec(workspace, view.tags[DATASET])
    try:
        states = state_store(store, spec)
    except NotReadyError:  # a store that takes no events
        return nothing
    try:
        for version in versions:
            states.drop(version)
    finally:
        states.close()
    names = PhysicalNames(spec)
    owner: EntityOwner = "user" if view.name == names.history_view("user") else "item"
    return pushed_keys(EventLog(workspace, spec.name), owner, names.join_key(owner), versions)


def _marked(marks: Marks, view: str, mark: Mark, left: KeySet, remove: Callable[[], None]) -> None:
    """Removes rows under the mark of the run that wrote them: what is left is still that run's."""
    if mark.writing and mark.writing != mark.run:
        raise StoreError(f"{view!r} is being filled, or its filling was killed: run 'llactr materialize' first")
    marks.begin([view], mark.run)
    remove()
    marks.complete(view, mark.run, left)
