"""`llactr push`: events from a file into the history online and the dataset's own events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llactr.errors import InputError
from llactr.steps import Job
from llactr.store.events.files import read_events
from llactr.store.events.pushing import push_and_take_in
from llactr.store.ingested import dataset_spec

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, *, file: Path | None, url: str | None, api_key: str | None = None) -> dict[str, Any]:
    """Pushes a file's events, through a running service where a URL is given, else straight into the store.

    Without a file it only takes what services have logged into the dataset's events.

    Raises:
        InputError: the file cannot be read, or the service refuses.
        StoreError: the store, or the service, does not answer.
    """
    spec = dataset_spec(job.workspace, dataset)
    if url is None:
        return push_and_take_in(job.workspace, spec, read_events(spec, file) if file else [])
    if file is None:
        raise InputError("--url needs a file of events to push: llactr push FILE --url URL")
    from llactr.diagnostics.service_events import push_to_service

    return push_to_service(url, spec, read_events(spec, file), api_key=api_key)


def describe(found: dict[str, Any]) -> str:
    """What was done, in a sentence."""
    told = f"{found['events']:,} events pushed"
    if found.get("repeated") is not None:
        told += f", {found['repeated']:,} of them were there already"
    if "versions" in found:
        told += f"; {len(found['versions'])} history versions online are up to date"
        told += f"; {found['taken_in']:,} events are new in the dataset: run 'llactr train' to learn from them"
    return told
