"""Rows that go from the online store between two materializations: of dead versions, and of keys that are forgotten."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from llactr.columns import DATASET, SEMANTICS_VERSION
from llactr.errors import StoreError
from llactr.store.feast.failures import store_failures
from llactr.store.feast.forget import forget_rows
from llactr.store.feast.online_state import registered_views
from llactr.store.feast.open import open_store
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from llactr.store.keysets import KeySet
from llactr.store.marks import Mark, Marks
from llactr.workspace import Workspace

__all__ = ["compact", "expire_versions"]

_LOG = logging.getLogger(__name__)
_COMPACT_S = 15.0


def expire_versions(
    workspace: Workspace, alive: Mapping[str, Collection[str]], *, config: Path | None = None
) -> dict[str, int]:
    """Takes the rows of versions that are not alive out of views of vectors; the others stay as they are.

    Killed anywhere, a second call ends the same: the marks list the keys until the rows are gone.

    Args:
        workspace: where.
        alive: view -> `DATASET@VERSION`, all that stay.
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
            if view in known and (count := _expire(store, marks, view, set(names))):
                removed[view] = count
        if removed and not compact(store):
            _LOG.info("the online store's log could not be emptied: somebody reads an old state of it")
    return removed


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


def _expire(store: FeatureStore, marks: Marks, view: str, alive: set[str]) -> int:
    mark = marks.read([view])[view]
    keys = marks.keys(view, mark)
    if mark is None or keys is None or not mark.run:
        return 0  # never filled, or by an engine that does not tell which keys it wrote
    names = pc.binary_join_element_wise(keys.columns[DATASET], keys.columns[SEMANTICS_VERSION], "@")
    stays = pc.is_in(names, pa.array(sorted(alive), pa.string())).combine_chunks()
    gone = KeySet(keys.columns.filter(pc.invert(stays)), keys.prints[~stays.to_numpy(zero_copy_only=False)])
    if not len(gone):
        return 0
    _marked(marks, view, mark, keys.minus(gone), lambda: forget_rows(store, store.get_feature_view(view), gone))
    return len(gone)


def _marked(marks: Marks, view: str, mark: Mark, left: KeySet, remove: Callable[[], None]) -> None:
    """Removes rows under the mark of the run that wrote them: what is left is still that run's."""
    if mark.writing and mark.writing != mark.run:
        raise StoreError(f"{view!r} is being filled, or its filling was killed: run 'llactr materialize' first")
    marks.begin([view], mark.run)
    remove()
    marks.complete(view, mark.run, left)
