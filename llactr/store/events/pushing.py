"""Events straight into the store, without a service: logged, applied to every history online, taken in offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llactr.errors import NotReadyError
from llactr.manifest import read_manifest
from llactr.spec import DatasetSpec
from llactr.store.events.checks import refuse_moments
from llactr.store.events.choice import state_store
from llactr.store.events.log import EventLog, LoggedEvent
from llactr.store.events.offline import take_in
from llactr.store.events.pusher import Pusher
from llactr.store.feast.open import open_store
from llactr.store.history import known_definitions
from llactr.workspace import Workspace

__all__ = ["push_and_take_in"]

_EVENTS_PER_GROUP = 2000


def push_and_take_in(
    workspace: Workspace, spec: DatasetSpec, events: Sequence[LoggedEvent], *, config: Path | None = None
) -> dict[str, Any]:
    """Pushes events, then takes all that is logged into the dataset's own events.

    Returns:
        how many `events`, how many were `repeated` (None where no history is online), the history `versions` kept up,
        and how many events were `taken_in`.

    Raises:
        NotReadyError: the dataset has not been ingested.
        DataError: an event lies before the dataset's first one, or ahead.
        StoreError: the store did not take them; what was logged is applied when it does.
    """
    if read_manifest(workspace.dataset(spec.name)) is None:
        raise NotReadyError(f"dataset {spec.name!r} is not in this workspace: run 'llactr ingest' first")
    refuse_moments(workspace, spec.name, events)
    known = {one.version: one for one in known_definitions(workspace, spec.name)}
    store = open_store(workspace, config=config)
    repeated: int | None = None
    if known:
        states = state_store(store, spec)
        whole = {
            version: one
            for version, one in known.items()
            if (note := states.filled(version)) is not None and note.whole
        }
        pusher = Pusher(workspace, spec, store, whole, states=states)
        try:
            pusher.catch_up()
            for start in range(0, len(events), _EVENTS_PER_GROUP):
                pushed = pusher.push(events[start : start + _EVENTS_PER_GROUP])
                if pushed.counted is not None:
                    repeated = (repeated or 0) + pushed.counted.count(False)
        finally:
            pusher.close()
    else:
        whole = {}
        with EventLog(workspace, spec.name).writer() as writer:
            writer.append(events)  # no event makes no segment
    summary = take_in(workspace, spec)
    taken = 0 if summary is None else summary.new_rows.get("events", 0)
    return {"events": len(events), "repeated": repeated, "versions": sorted(whole), "taken_in": taken}
