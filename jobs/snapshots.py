"""`llactr snapshots`: the states of users' and items' history at all moments, for point-in-time joins by anyone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from llactr.ctr import Bundle
from llactr.ctr.find import find_bundle
from llactr.errors import InputError
from llactr.steps import Job
from llactr.store.history import write_snapshots
from llactr.store.ingested import dataset_spec
from llactr.store.names import PhysicalNames

__all__ = ["describe", "run"]

_HOW = {
    "unchanged": "nothing has come since",
    "added": "the new events' states were added",
    "anew": "all states were made",
    "late": "some events came late: all states were made anew",
}


def run(job: Job, dataset: str, *, bundle: str | None = None) -> dict[str, Any]:
    """Writes a state for every time at which something happened to a user or an item, of a bundle's history version.

    Raises:
        InputError: the bundle reads no history.
        NotReadyError: nothing has been trained.
        DataError: the events cannot be read.
    """
    folder = find_bundle(job.workspace, dataset, bundle)
    definition = Bundle.load(folder).history
    if definition is None:
        raise InputError(
            f"the bundle {folder.name} reads no history: train an arm with one, such as 'llactr train --arm items', or "
            "name another bundle"
        )
    spec = dataset_spec(job.workspace, dataset)
    with job.terminal.step("snapshots") as advance:
        written = write_snapshots(job.workspace, spec, definition)
        advance(1, 1, f"{written.rows:,} states of {written.events:,} events")
    names = PhysicalNames(spec)
    views = {owner: names.history_view(owner) for owner in spec.entities}
    return {"dataset": dataset, "bundle": folder.name, "views": views} | asdict(written)


def describe(found: dict[str, Any]) -> str:
    """What was done, in a sentence, and how the states are read."""
    views = " and ".join(found["views"].values())
    return (
        f"{found['rows']:,} states of {found['events']:,} events written ({_HOW[found['how']]}): join {views} with "
        f"history_version {found['version']} at any moment (after 'llactr apply', once)"
    )
