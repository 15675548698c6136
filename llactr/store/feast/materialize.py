"""Offline tables -> online store, one view after the other, with the rows counted as they are written."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feast import FeatureStore

from llactr.errors import InputError, NotReadyError
from llactr.store.feast.failures import store_failures
from llactr.store.feast.newest import NewestRows
from llactr.store.feast.open import feast_output_to_log, open_store
from llactr.workspace import Workspace

__all__ = ["MaterializedView", "materialize"]

_LOG = logging.getLogger(__name__)
_BEGINNING = datetime(1826, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class MaterializedView:
    """What was done for one view."""

    name: str
    seconds: float
    rows: int


def materialize(
    workspace: Workspace,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    config: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[MaterializedView, ...]:
    """Writes the newest row of every key between two moments to the online store.

    Unlike Feast's incremental materialization, which goes by event time, this takes in releases that were backdated.
    Idempotent: a second run writes the same values, and a run after a kill repairs what the killed one left. A range
    that ends before rows that are online already puts older values in their place.

    Args:
        workspace: its registry names the views.
        start: from the beginning by default.
        end: now by default.
        config: see `open_store`.
        progress: called with (view, rows written, rows in all), rows being those of all views: before each view, after
            each batch, and at the end. An engine that writes from other processes is heard of view by view.

    Raises:
        NotReadyError: nothing has been applied.
        InputError: a moment has no zone, or `end` is before `start`.
        StoreError: Feast or the online store failed, or an engine reported success and rows are missing.
    """
    end = end or datetime.now(UTC)
    start = start or min(_BEGINNING, end)
    if start.tzinfo is None or end.tzinfo is None or end < start:
        raise InputError(
            f"cannot materialize from {start} to {end}: give two moments with a zone, the earlier one first"
        )
    store = open_store(workspace, config=config)
    with store_failures("reading the registry", then="run 'llactr apply'"):
        views = sorted(view.name for view in store.list_feature_views())
    if not views:
        raise NotReadyError(
            f"no feature view is registered in the workspace {workspace.root}: run 'llactr apply' first"
        )
    newest = {view: NewestRows(store, view, start=start, end=end) for view in views}
    with store_failures("counting the rows to materialize", then="run 'llactr materialize' again"):
        counts = {view: newest[view].count() for view in views}
    total = sum(counts.values())
    before, done = 0, []

    def report(view: str, written: int) -> None:
        if progress:
            progress(view, min(before + written, total), total)

    for view in views:
        report(view, 0)
        began = time.perf_counter()
        doing = store_failures(f"materializing {view!r}", then="run 'llactr materialize' again")
        with doing, feast_output_to_log(), _counted(store, view, report) as written:
            store.materialize(start, end, feature_views=[view])
            if counts[view] and not written[0]:  # by other processes, or by none
                newest[view].check_online()
        done.append(MaterializedView(view, time.perf_counter() - began, written[0] or counts[view]))
        before += counts[view]
        _LOG.info("materialized %s: %d rows in %.2f s", view, done[-1].rows, done[-1].seconds)
    report(views[-1], 0)
    return tuple(done)


@contextlib.contextmanager
def _counted(store: FeatureStore, view: str, report: Callable[[str, int], None]) -> Iterator[list[int]]:
    """Counts the rows of a view that pass through this process's online store, in a list of one number."""
    online_store = store.provider.online_store
    write = online_store.online_write_batch
    written = [0]

    def counting(config: Any, table: Any, data: Any, progress: Any) -> None:
        write(config, table, data, progress)
        written[0] += len(data)
        report(view, written[0])

    online_store.online_write_batch = counting
    try:
        yield written
    finally:
        del online_store.online_write_batch
