"""Offline tables -> online store, one view after the other, with the rows counted as they are written."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feast import FeatureStore, FeatureView

from llactr.errors import InputError, NotReadyError, StoreError
from llactr.store.events.filling import is_history
from llactr.store.feast.failures import store_failures
from llactr.store.feast.forget import forget_rows
from llactr.store.feast.newest import NewestRows
from llactr.store.feast.online_state import lost_keys
from llactr.store.feast.open import feast_output_to_log, open_store
from llactr.store.feast.streaming import StreamingComputeEngine
from llactr.store.keysets import KeySet
from llactr.store.marks import SAMPLE_KEYS, Mark, Marks, eviction_said, marked_elsewhere, new_run
from llactr.store.repository.ours import our_views
from llactr.store.repository.place import repository_file
from llactr.workspace import Workspace

__all__ = ["MaterializedView", "materialize"]

_LOG = logging.getLogger(__name__)
_BEGINNING = datetime(1826, 1, 1, tzinfo=UTC)
_END = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class MaterializedView:
    """What was done for one view.

    Attributes:
        name: the view.
        seconds: wall clock.
        rows: rows written.
        run: the run's name, the same for all views; the online store's mark holds it.
        removed: rows taken out, of keys that have left the sources since the run before.
        later: rows of the sources that lie after the range's end, and are not online.
        next_moment: the first of these rows' event time.
    """

    name: str
    seconds: float
    rows: int
    run: str = ""
    removed: int = 0
    later: int = 0
    next_moment: datetime | None = None


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
    that ends before rows that are online already puts older values in their place. Rows of keys that an earlier run
    brought online and that have left the sources since are removed. Marks (see `llactr.store.marks`) say before the
    first row that a run is under way, and after the last one that it has ended: only then are the views whole.

    In a repository of the user's own, only the views that llactr defined are written.

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
        StoreError: Feast or the online store failed, an engine reported success and rows are missing, or the store was
            emptied meanwhile.
    """
    end = end or datetime.now(UTC)
    start = start or min(_BEGINNING, end)
    if start.tzinfo is None or end.tzinfo is None or end < start:
        raise InputError(
            f"cannot materialize from {start} to {end}: give two moments with a zone, the earlier one first"
        )
    store = open_store(workspace, config=config)
    with store_failures("reading the registry", then="run 'llactr apply'"):
        registered = our_views(store, shared=repository_file(workspace, config) is not None)
        views = sorted(view.name for view in registered)
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

    run = new_run()
    marks = Marks(store.config, store.provider.online_store)
    with store_failures("marking the views as being written", then="see that the online store runs, and try again"):
        _make_tables(store, marks, registered)
        _warn_of_eviction(store)
        known = marks.read(views)
        marks.begin(views, run)
    keys: dict[str, KeySet | None] = {}
    for view in views:
        report(view, 0)
        began = time.perf_counter()
        doing = store_failures(f"materializing {view!r}", then="run 'llactr materialize' again")
        with (
            doing,
            feast_output_to_log(),
            _counted(store, view, report) as written,
            marked_elsewhere(),
            _engine_of(store, view),
        ):
            store.materialize(start, end, feature_views=[view])
            if counts[view] and not written[0]:  # by other processes, or by none
                newest[view].check_online()
            keys[view], removed = _settle(store, marks, view, newest[view], known[view])
        later, next_moment = NewestRows(store, view, start=end, end=_END).after(end)
        seconds = time.perf_counter() - began
        rows = written[0] or counts[view]
        done.append(MaterializedView(view, seconds, rows, run, removed, later, next_moment))
        before += counts[view]
        _LOG.info("materialized %s: %d rows in %.2f s", view, rows, seconds)
        if removed:
            _LOG.warning("%s: %d rows have left the sources and were removed from the online store", view, removed)
        if later:
            _LOG.warning("%s: %d rows lie after %s and are not online, the first at %s", view, later, end, next_moment)
    with store_failures("marking the views as whole", then="run 'llactr materialize' again"):
        for view in views:
            marks.complete(view, run, keys[view])
    report(views[-1], 0)
    return tuple(done)


def _make_tables(store: FeatureStore, marks: Marks, views: Sequence[FeatureView]) -> None:
    """Makes what the online store lacks of the registered views: it may have been deleted since they were applied."""
    store.provider.online_store.update(
        config=store.config,
        tables_to_delete=[],
        tables_to_keep=views,
        entities_to_delete=[],
        entities_to_keep=store.list_entities(),
        partial=True,
    )
    marks.prepare()


def _settle(
    store: FeatureStore, marks: Marks, view: str, newest: NewestRows, known: Mark | None
) -> tuple[KeySet | None, int]:
    """The keys that are online now, and how many rows were removed because their keys have left the sources."""
    columns = newest.keys()
    if columns is None:
        return None, 0
    online, removed = KeySet.of(columns), 0
    earlier = marks.keys(view, known)
    if earlier is not None:
        gone = earlier.minus(online)
        if len(gone):
            everything = NewestRows(store, view, start=_BEGINNING, end=_END).keys()
            gone = gone.minus(KeySet.of(everything)) if everything is not None else gone.slice(0, 0)
            removed = len(gone)
            forget_rows(store, store.get_feature_view(view), gone)
        online = online.union(earlier).minus(gone)
    _check_there(store, view, online)
    return online, removed


def _check_there(store: FeatureStore, view: str, keys: KeySet) -> None:
    """Reads some keys back: a store that is full drops what came first."""
    sample = keys.slice(0, SAMPLE_KEYS)  # fingerprints are in no order that writing has
    lost = lost_keys(store, view, sample)
    if lost:
        raise StoreError(
            f"{view!r} was written, but of {len(sample)} keys read back {lost} are missing: the online store drops "
            "rows (see its memory limit and eviction policy), or was emptied meanwhile"
        )


def _warn_of_eviction(store: FeatureStore) -> None:
    config = store.config.online_store
    if config.type != "redis" or config.redis_type.value not in {"redis", "redis_cluster"}:
        return
    online: Any = store.provider.online_store
    client = online._get_client(config)
    if config.redis_type.value == "redis_cluster":
        from redis.cluster import RedisCluster

        nodes = client.info("memory", target_nodes=RedisCluster.PRIMARIES)
    else:
        nodes = {"": client.info("memory")}
    has_ttl = bool(getattr(config, "key_ttl_seconds", None))
    for said in dict.fromkeys(filter(None, (eviction_said(facts, has_ttl=has_ttl) for facts in nodes.values()))):
        _LOG.warning("%s", said)


@contextlib.contextmanager
def _engine_of(store: FeatureStore, view: str) -> Iterator[None]:
    """States of history are written by our own engine, whatever is configured: no other leaves newer ones alone."""
    provider: Any = store.provider
    if not is_history(store.get_feature_view(view)) or isinstance(provider.batch_engine, StreamingComputeEngine):
        yield
        return
    configured = provider.batch_engine
    provider._batch_engine = StreamingComputeEngine(
        repo_config=store.config, offline_store=provider.offline_store, online_store=provider.online_store
    )
    try:
        yield
    finally:
        provider._batch_engine = configured


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
