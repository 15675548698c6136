"""When an event may lie: an event that has not happened yet, or lies before all others, is no event of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from llactr.errors import DataError
from llactr.manifest import read_manifest
from llactr.store.events.log import LoggedEvent
from llactr.workspace import Workspace

__all__ = ["first_event", "moment_fault", "refuse_moments"]

_AHEAD = timedelta(minutes=5)


def first_event(workspace: Workspace, dataset: str) -> datetime | None:
    """When a dataset's first event happened; None where that is not known."""
    try:
        return datetime.fromisoformat((read_manifest(workspace.dataset(dataset)) or {})["start"])
    except (KeyError, TypeError, ValueError):
        return None


def moment_fault(moment: datetime, *, first: datetime | None, now: datetime) -> str:
    """What is wrong with an event's moment; empty for nothing."""
    if moment > now + _AHEAD:
        return f"{moment.isoformat()} lies ahead: give the moment at which it happened"
    if first is not None and moment < first:
        return f"{moment.isoformat()} lies before the dataset's first event at {first.isoformat()}"
    return ""


def refuse_moments(workspace: Workspace, dataset: str, events: Sequence[LoggedEvent]) -> None:
    """Refuses events whose moment cannot be.

    Raises:
        DataError: names the first one.
    """
    first, now = first_event(workspace, dataset), datetime.now(UTC)
    for number, event in enumerate(events, 1):
        fault = moment_fault(datetime.fromtimestamp(event.time / 1e6, UTC), first=first, now=now)
        if fault:
            raise DataError(f"event {number}: event_timestamp {fault}")
