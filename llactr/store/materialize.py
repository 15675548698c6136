"""Offline tables -> online store, one view after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from llactr.errors import InputError, NotReadyError
from llactr.store.failures import store_failures
from llactr.store.open import feast_output_to_log, open_store
from llactr.workspace import Workspace

__all__ = ["MaterializedView", "materialize"]

_LOG = logging.getLogger(__name__)
_BEGINNING = datetime(1826, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class MaterializedView:
    """What was done for one view."""

    name: str
    seconds: float


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
        progress: called with (view, views done, views in all) before each view and once more at the end.

    Raises:
        NotReadyError: nothing has been applied.
        InputError: a moment has no zone, or `end` is before `start`.
        StoreError: Feast or the online store failed; run it again.
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
    done = []
    for number, view in enumerate(views):
        if progress:
            progress(view, number, len(views))
        began = time.perf_counter()
        with store_failures(f"materializing {view!r}", then="run 'llactr materialize' again"), feast_output_to_log():
            store.materialize(start, end, feature_views=[view])
        done.append(MaterializedView(view, time.perf_counter() - began))
        _LOG.info("materialized %s (%d of %d) in %.2f s", view, number + 1, len(views), done[-1].seconds)
    if progress:
        progress(views[-1], len(views), len(views))
    return tuple(done)
