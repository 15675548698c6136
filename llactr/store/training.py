"""Training rows: every event with the features, and the semantics version, that were current when it happened.

What "current" means is Feast's point-in-time join: of a key's rows with event time <= the event's, the newest; among
rows of one event time, the one created last. A value that holds from the very moment of the event counts. A late
correction, written under an old event time, is seen

- by events from its creation on, where the spec says when rows are created (`entities.<owner>.created`): before that
  moment nobody could have known it;
- by all events, where it does not say: then there is nothing to tell it from what was known.

Releases are backdated on purpose and never hidden by their creation time.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from llactr.columns import DATASET, EVENT_TIMESTAMP, LABEL, SEMANTICS_VERSION, TIMESTAMP
from llactr.errors import NotReadyError, StoreError
from llactr.spec import DatasetSpec
from llactr.store.feast.failures import store_failures
from llactr.store.feast.open import open_store
from llactr.store.names import ROW_ID, PhysicalNames
from llactr.store.raw import raw_values
from llactr.store.repository.features import RepositoryFeatures, repository_features
from llactr.store.tables import SEMANTICS_RELEASE, read_files
from llactr.transforms import raw_column
from llactr.workspace import Workspace

__all__ = [
    "current_rows",
    "events_table",
    "joined_rows",
    "point_in_time_features",
    "refuse_rows_without_release",
    "rows_as_of_their_time",
    "training_rows",
    "with_repository_fields",
]

_CHUNK_ROWS = 250_000


def training_rows(
    workspace: Workspace,
    spec: DatasetSpec,
    *,
    with_release: bool = True,
    chunk_rows: int = _CHUNK_ROWS,
    config: Path | None = None,
    events: pa.Table | None = None,
) -> pa.Table:
    """The raw table of all events, in event order, duplicates kept: rows out are the events' rows.

    Cost: one point-in-time join per `chunk_rows` events; the features of one chunk and the result are in memory.

    Args:
        workspace: an applied workspace.
        spec: the dataset's resolved spec.
        with_release: whether to join `semantics_version`; a plain model needs none.
        chunk_rows: events joined at a time.
        config: see `open_store`.
        events: some of the events, as `events_table` has them; all of them by default.

    Returns:
        join keys, `event_timestamp`, `label`, a column per field in its raw type (see `llactr.transforms`), and
        `semantics_version`, dictionary-encoded. Timestamps of users and items are whole seconds.

    Raises:
        NotReadyError: no events, nothing applied, or an event lies before the first release.
        StoreError: Feast failed, or gave other rows than it was asked for.
    """
    events = events_table(workspace, spec) if events is None else events
    rows = joined_rows(workspace, spec, events, with_release=with_release, chunk_rows=chunk_rows, config=config)
    if with_release:
        versions = rows[SEMANTICS_VERSION]
        without = rows[EVENT_TIMESTAMP].filter(pc.is_null(versions))
        refuse_rows_without_release(spec, versions.null_count, rows.num_rows, pc.min(without).as_py())
    return rows


def joined_rows(
    workspace: Workspace,
    spec: DatasetSpec,
    events: pa.Table,
    *,
    with_release: bool,
    chunk_rows: int = _CHUNK_ROWS,
    config: Path | None = None,
) -> pa.Table:
    """`training_rows` of some events; the version of one before the first release is null."""
    names = PhysicalNames(spec)
    store = open_store(workspace, config=config)
    repository = repository_features(workspace, spec, config=config)
    starts = range(0, max(events.num_rows, 1), chunk_rows)
    pieces = [
        point_in_time_features(store, spec, names, events.slice(start, chunk_rows), with_release=with_release)
        for start in starts
    ]
    joined = pa.concat_tables(pieces)
    theirs = [_of_repository(repository, events.slice(start, chunk_rows)) for start in starts]
    columns = _raw_columns(spec, names, events, joined, pa.concat_tables(theirs))
    if with_release:
        columns[SEMANTICS_VERSION] = joined[SEMANTICS_VERSION].combine_chunks().dictionary_encode()
    return pa.table(columns)


def current_rows(
    workspace: Workspace, spec: DatasetSpec, events: pa.Table, *, moment: datetime, config: Path | None = None
) -> pa.Table:
    """Some events as they would be requested at a moment: users and items as the offline store has them then.

    Args:
        workspace: an applied workspace.
        spec: the dataset's resolved spec.
        events: N rows of `events_table`.
        moment: with a zone; rows of users and items count up to it, whenever the events happened.
        config: see `open_store`.

    Returns:
        N rows as `training_rows` gives them, without a semantics version.

    Raises:
        StoreError: Feast failed, or gave other rows than it was asked for.
    """
    times = pa.chunked_array([pa.array([moment] * events.num_rows, pa.timestamp("us", "UTC"))])
    repository = repository_features(workspace, spec, config=config)
    return _features_as_of(open_store(workspace, config=config), spec, events, times, repository)


def rows_as_of_their_time(
    store: FeatureStore, spec: DatasetSpec, requests: pa.Table, *, repository: RepositoryFeatures | None = None
) -> pa.Table:
    """Requests with the features that users and items had when each was made: what `llactr score` reads offline.

    Args:
        store: an applied feature store.
        spec: the dataset's resolved spec.
        requests: N rows of join keys, context fields and `event_timestamp`, as `request_table` gives them.
        repository: see `repository_features`.

    Returns:
        N rows as `training_rows` gives them, without label and semantics version.

    Raises:
        StoreError: Feast failed, or gave other rows than it was asked for.
    """
    return _features_as_of(store, spec, requests, requests[EVENT_TIMESTAMP], repository)


def with_repository_fields(
    workspace: Workspace, spec: DatasetSpec, rows: pa.Table, *, config: Path | None = None
) -> pa.Table:
    """Rows of events and, beside their columns, the fields that are features of the user's own repository.

    Args:
        workspace: any.
        spec: the dataset's resolved spec.
        rows: N rows of `events_table`.
        config: see `open_store`.
    """
    found = _of_repository(repository_features(workspace, spec, config=config), rows)
    for name in found.column_names:
        rows = rows.append_column(name, found[name])
    return rows


def _of_repository(repository: RepositoryFeatures | None, rows: pa.Table) -> pa.Table:
    """(N,) raw values of each field of the repository; a table of no columns where there are none."""
    return pa.table({}) if repository is None else pa.table(repository.as_of(rows))


def _features_as_of(
    store: FeatureStore,
    spec: DatasetSpec,
    rows: pa.Table,
    times: pa.ChunkedArray,
    repository: RepositoryFeatures | None,
) -> pa.Table:
    names = PhysicalNames(spec)
    asked = rows.set_column(rows.column_names.index(EVENT_TIMESTAMP), EVENT_TIMESTAMP, times)
    joined = point_in_time_features(store, spec, names, asked, with_release=False)
    return pa.table(_raw_columns(spec, names, rows, joined, _of_repository(repository, asked)))


def _raw_columns(
    spec: DatasetSpec, names: PhysicalNames, events: pa.Table, joined: pa.Table, theirs: pa.Table
) -> dict[str, pa.ChunkedArray]:
    """Join keys, event timestamp, label (where there is one), fields of events, the features joined to them."""
    columns: dict[str, pa.ChunkedArray] = {}
    for entity in spec.entities.values():
        columns[entity.join_key] = events[entity.join_key]
    columns[EVENT_TIMESTAMP] = events[EVENT_TIMESTAMP]
    if LABEL in events.column_names:
        columns[LABEL] = events[LABEL]
    for field in spec.fields:
        if field.feature is not None:
            columns[field.name] = theirs[field.name]
            continue
        if field.owner == "context":
            source = events[raw_column(field)]
        elif field.name in names.features:
            source = joined[names.features[field.name]]
        else:
            source = events[spec.entities[field.owner].join_key]
        columns[raw_column(field)] = raw_values(source, field)
    return columns


def events_table(workspace: Workspace, spec: DatasetSpec) -> pa.Table:
    """The events as ingest wrote them, in event order: by time, ties in the order in which they came."""
    events = read_files(workspace.offline_table(spec.name, "events"), first_run="llactr ingest")
    times = events[EVENT_TIMESTAMP].cast(pa.int64()).to_numpy()
    if np.all(times[:-1] <= times[1:]):
        return events
    return events.take(pa.array(np.argsort(times, kind="stable")))  # files that came later may reach back


def point_in_time_features(
    store: FeatureStore, spec: DatasetSpec, names: PhysicalNames, events: pa.Table, *, with_release: bool
) -> pa.Table:
    """The stored features of some events, row by row in their order, by Feast's names.

    Args:
        store: an applied feature store.
        spec: the dataset's resolved spec.
        names: of the spec.
        events: N rows with the join keys and `event_timestamp`.
        with_release: whether to join `semantics_version`.

    Raises:
        StoreError: Feast failed, or gave other rows than it was asked for.
    """
    entities = pd.DataFrame({ROW_ID: np.arange(events.num_rows, dtype=np.int64)})
    for owner, entity in spec.entities.items():
        entities[names.join_key(owner)] = events[entity.join_key].to_pandas()
    entities[DATASET] = spec.name
    entities[EVENT_TIMESTAMP] = events[EVENT_TIMESTAMP].cast(TIMESTAMP).to_pandas()

    # Only views whose spec knows when a row was created are cut off at the event: see the top of this file.
    refs: dict[bool, list[str]] = {True: [], False: []}
    for owner, entity in spec.entities.items():
        features = [names.features[field.name] for field in names.stored_fields(owner)]
        refs[entity.created is not None] += [f"{names.view(owner)}:{feature}" for feature in features]
    if with_release:
        refs[False].append(f"{SEMANTICS_RELEASE}:{SEMANTICS_VERSION}")

    columns: dict[str, pa.ChunkedArray] = {}
    for cut_off, asked in refs.items():
        if not asked:
            continue
        with store_failures("joining features to events", then="run 'llactr apply' and try again"):
            job = store.get_historical_features(entities, asked, filter_by_created_timestamp=cut_off)
            table = job.to_arrow()
        table = _in_row_order(table, events.num_rows)
        columns |= {name: table[name] for name in (ref.split(":")[1] for ref in asked)}
    return pa.table(columns) if columns else pa.table({ROW_ID: entities[ROW_ID]})


def _in_row_order(table: pa.Table, rows: int) -> pa.Table:
    """The join's rows sorted by their number; joins keep neither order nor, where there is a bug, number of rows."""
    numbers = table[ROW_ID].to_numpy()
    order = np.argsort(numbers, kind="stable")
    if not np.array_equal(numbers[order], np.arange(rows)):
        raise StoreError(
            f"the point-in-time join gave {len(numbers)} rows ({len(np.unique(numbers))} distinct) for {rows} events, "
            "expected each exactly once: the offline store is at fault, use another version or type of it"
        )
    return table.take(pa.array(order))


def refuse_rows_without_release(spec: DatasetSpec, without: int, rows: int, first: datetime | None) -> None:
    """Refuses rows that lie before the first release.

    Args:
        spec: the dataset's.
        without: how many do.
        rows: of how many.
        first: when the first of them happened; None without any.

    Raises:
        NotReadyError: there are some.
    """
    if first is None:
        return
    if without == rows:
        raise NotReadyError(
            f"dataset {spec.name!r} has no release of field vectors for its events: run 'llactr encode' first"
        )
    raise NotReadyError(
        f"{without} of {rows} events of {spec.name!r} lie before the first release, the earliest "
        f"at {first.isoformat()}: run 'llactr encode', which lets the release begin with the data"
    )
