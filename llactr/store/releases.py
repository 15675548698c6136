"""Releases: which semantics version is current for a dataset, and from when."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from llactr.columns import CREATED_TIMESTAMP, DATASET, EVENT_TIMESTAMP, SEMANTICS_VERSION
from llactr.errors import InputError, NotReadyError
from llactr.manifest import MANIFEST
from llactr.store.tables import SEMANTICS_RELEASE, SEMANTICS_SCHEMAS, add_file, read_files, vectors_path
from llactr.workspace import Workspace

__all__ = ["Release", "current_release", "dataset_start", "release", "releases"]

_TICK = timedelta(microseconds=1)


class Release(NamedTuple):
    """A semantics version and the moment from which it is current."""

    version: str
    effective_from: datetime


def release(workspace: Workspace, dataset: str, version: str, *, effective_from: datetime | None = None) -> datetime:
    """Makes a version current for a dataset from a moment on.

    The first release reaches back to the dataset's start, so that all its rows have a version; where older history
    has been ingested since, what was released first is released from the new start on. Every later one lies at
    least a microsecond after the one before: the latest release always wins, and none is rewritten. Releasing the
    current version again changes nothing.

    Args:
        workspace: holds the dataset and its vectors.
        dataset: the spec's name.
        version: a version whose vectors have been written.
        effective_from: the dataset's start by default. A moment before the first release is kept;
            one between the first and the last is moved behind the last.

    Returns:
        the moment from which the version is current.

    Raises:
        NotReadyError: the dataset is not ingested, or the version has no vectors.
        InputError: `effective_from` has no zone.
    """
    if effective_from is not None and effective_from.tzinfo is None:
        raise InputError(f"a release cannot be effective from {effective_from}: give a moment with a zone, such as UTC")
    if not vectors_path(workspace, dataset, version).exists():
        raise NotReadyError(
            f"semantics version {version!r} of {dataset!r} has no field vectors: run 'llactr encode' first"
        )
    start = effective_from or dataset_start(workspace, dataset)
    while True:
        number = _next_number(workspace, dataset)  # before the look at what there is: a release meanwhile takes it
        past = releases(workspace, dataset)
        if past and start < past[0].effective_from:
            # Older history came in. What was released first holds for it, unless a moment was asked for.
            reaching_back = past[0].version if effective_from is None else version
            _add(workspace, dataset, number, reaching_back, start)
            continue
        if past and past[-1].version == version:
            return start if effective_from is not None and start == past[0].effective_from else past[-1].effective_from
        moment = max(start, past[-1].effective_from + _TICK) if past else start
        if _add(workspace, dataset, number, version, moment):
            return moment.astimezone(UTC)


def _add(workspace: Workspace, dataset: str, number: int, version: str, moment: datetime) -> bool:
    """Adds a release under a number; False where another process took the number meanwhile."""
    # Created when it takes effect: a release is backdated on purpose, so a cut-off by creation must not hide it.
    row = {DATASET: dataset, SEMANTICS_VERSION: version, EVENT_TIMESTAMP: moment, CREATED_TIMESTAMP: moment}
    table = pa.Table.from_pylist([row], schema=SEMANTICS_SCHEMAS[SEMANTICS_RELEASE])
    return add_file(workspace.semantics_table(SEMANTICS_RELEASE) / f"{dataset}@{number:06d}.parquet", table)


def _next_number(workspace: Workspace, dataset: str) -> int:
    """The number after the last: not how many there are, for a file may be gone."""
    name = re.compile(re.escape(dataset) + r"@(\d+)\.parquet")
    files = workspace.semantics_table(SEMANTICS_RELEASE).glob("*.parquet")
    return max((int(found[1]) for path in files if (found := name.fullmatch(path.name))), default=0) + 1


def releases(workspace: Workspace, dataset: str) -> list[Release]:
    """All releases of a dataset, the first one first."""
    directory = workspace.semantics_table(SEMANTICS_RELEASE)
    if not any(directory.glob("*.parquet")):
        return []
    table = read_files(directory, schema=SEMANTICS_SCHEMAS[SEMANTICS_RELEASE], first_run="llactr encode")
    found = [
        Release(row[SEMANTICS_VERSION], row[EVENT_TIMESTAMP]) for row in table.to_pylist() if row[DATASET] == dataset
    ]
    return sorted(found, key=lambda one: one.effective_from)


def current_release(workspace: Workspace, dataset: str) -> str | None:
    """The version that is current now, read from the offline table; None before the first release."""
    now = datetime.now(UTC)
    past = [one for one in releases(workspace, dataset) if one.effective_from <= now]
    return past[-1].version if past else None


def dataset_start(workspace: Workspace, dataset: str) -> datetime:
    """A day before a dataset's first event: since when its static features and its first release hold.

    Raises:
        NotReadyError: the dataset has not been ingested.
    """
    try:
        manifest = json.loads((workspace.dataset(dataset) / MANIFEST).read_text(encoding="utf-8"))
        first = datetime.fromisoformat(manifest["start"])
    except (OSError, ValueError, KeyError):
        raise NotReadyError(
            f"dataset {dataset!r} has not been ingested into the workspace {workspace.root}: run 'llactr ingest' first"
        ) from None
    return (first if first.tzinfo else first.replace(tzinfo=UTC)) - timedelta(days=1)
