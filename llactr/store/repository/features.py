"""The fields that are features of the user's own repository, offline as of each row's moment, online as they are now.

Both sides meet early: what a store gives is put into the type that the view declares, and from there on one code makes
on-demand features and raw values. Offline the user's own store joins point in time, and keeps to the view's ttl; online
the newest row counts, unless it is older than that by now, whatever moment a request names.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.errors import NotReadyError, StoreError
from llactr.spec import DatasetSpec
from llactr.store.feast.failures import store_failures
from llactr.store.feast.open import open_repository
from llactr.store.names import ROW_ID
from llactr.store.repository.demand import computed
from llactr.store.repository.keys import entity_keys, typed_key
from llactr.store.repository.plan import Plan, Read, plan_fields
from llactr.store.repository.values import arrow_type, declared, of_store, raw_feature
from llactr.workspace import Workspace

__all__ = ["RepositoryFeatures", "now", "repository_features"]

_KEYS_PER_READ = 10_000  # SQLite binds at most 32766 values in a statement


def repository_features(
    workspace: Workspace, spec: DatasetSpec, *, config: Path | None = None
) -> RepositoryFeatures | None:
    """What reads a spec's fields from the user's own repository; None where none is a feature of it.

    Raises:
        InputError: the workspace knows no such repository, or its configuration cannot be used.
        SpecError, StoreError: see `RepositoryFeatures`.
    """
    if not spec.repository_fields:
        return None
    return RepositoryFeatures(spec, open_repository(workspace, config=config))


class RepositoryFeatures:
    """Reads a spec's fields from the user's own repository. Views are looked up once, here.

    Args:
        spec: the dataset's spec, with fields that are features of the repository.
        store: the repository's feature store, as it is configured there.

    Raises:
        SpecError: a field names what the repository does not have, or cannot be read.
        StoreError: the registry cannot be read.
    """

    def __init__(self, spec: DatasetSpec, store: FeatureStore) -> None:
        self.spec = spec
        self.store = store
        self.plan: Plan = plan_fields(spec, store)
        self._lock = threading.Lock()
        self._provider: Any = None

    def as_of(self, rows: pa.Table) -> dict[str, pa.ChunkedArray]:
        """The fields as the offline store has them at each row's moment.

        Args:
            rows: N rows with the join keys as text, `event_timestamp`, and the context fields by name.

        Returns:
            field name -> (N,) raw values; null for an unknown key and for a value past its ttl.

        Raises:
            StoreError: the store failed, or gave other rows than it was asked for; or an on-demand view did.
        """
        return self._fields(rows, {id(read): self._historical(read, rows) for read in self.plan.reads})

    def current(self, rows: pa.Table, *, cold: dict[str, int] | None = None) -> dict[str, pa.ChunkedArray]:
        """The fields as the online store has them now; see `as_of`. Runs in any thread.

        Args:
            rows: N rows.
            cold: gets, by entity, how many of its distinct keys a view of it alone does not know.
        """
        return self._fields(rows, {id(read): self._online(read, rows, cold) for read in self.plan.reads})

    def require_online(self) -> None:
        """Raises NotReadyError for a view that is not kept online, or never was materialized or pushed to."""
        for read in self.plan.reads:
            place = self.store.config.repo_path
            if not read.view.online:
                raise NotReadyError(
                    f"the view {read.ref!r} of {place} is not kept online (online=False): it cannot be served from"
                )
            filled = read.view.materialization_intervals or read.view.stream_source is not None
            # A version that is not the current one is registered as it was when it was applied.
            if not filled and read.view.projection.version_tag is None:
                raise NotReadyError(
                    f"the view {read.ref!r} of {place} was never materialized: run 'feast materialize' there first"
                )

    def _fields(self, rows: pa.Table, found: Mapping[int, dict[str, pa.ChunkedArray]]) -> dict[str, pa.ChunkedArray]:
        made = {
            id(demand): computed(demand, rows, {called: found[id(read)] for called, read in demand.reads.items()})
            for demand in self.plan.demands
        }
        columns = {**found, **made}
        return {
            field.name: raw_feature(columns[id(source)][feature], field)
            for field in self.spec.repository_fields
            for source, feature in [self.plan.fields[field.name]]
        }

    def _historical(self, read: Read, rows: pa.Table) -> dict[str, pa.ChunkedArray]:
        """One view's features by one point-in-time join over the distinct keys and moments."""
        columns = {key.name: typed_key(rows[key.column], key) for key in read.keys}
        columns[EVENT_TIMESTAMP] = rows[EVENT_TIMESTAMP].cast(TIMESTAMP).combine_chunks()
        asked, places = _distinct(pa.table(columns))
        whole = np.ones(asked.num_rows, bool)
        for key in read.keys:
            whole &= asked[key.name].is_valid().to_numpy(zero_copy_only=False)
        numbers = np.flatnonzero(whole)
        frame = asked.filter(pa.array(whole)).to_pandas()
        frame[EVENT_TIMESTAMP] = frame[EVENT_TIMESTAMP].astype("datetime64[ns, UTC]")
        frame[ROW_ID] = numbers
        refs = [f"{read.ref}:{name}" for name in read.features]
        table = self._joined(frame, refs, read) if len(frame) else pa.table({ROW_ID: pa.array([], pa.int64())})
        position = np.full(asked.num_rows, -1)
        ids = table[ROW_ID].to_numpy().astype(np.int64)
        if len(np.unique(ids)) != len(ids) or not np.isin(ids, numbers).all():
            raise StoreError(
                f"the point-in-time join of {read.ref!r} gave {len(ids)} rows ({len(np.unique(ids))} distinct) for "
                f"{len(numbers)}: the offline store is at fault, use another version or type of it"
            )
        position[ids] = np.arange(len(ids))
        chosen = position[places]  # a store may leave out rows that found nothing
        take = pa.array(np.where(chosen < 0, 0, chosen), mask=chosen < 0)
        if not len(table):
            return {n: pa.chunked_array([pa.nulls(rows.num_rows, arrow_type(f))]) for n, f in read.features.items()}
        return {name: declared(table[name], feature, read.ref).take(take) for name, feature in read.features.items()}

    def _joined(self, frame: pd.DataFrame, refs: list[str], read: Read) -> pa.Table:
        with (
            store_failures(
                f"joining {read.ref!r} of {self.store.config.repo_path} to events",
                then="see that its offline store works there ('feast' and 'get_historical_features'), and try again",
            ),
            contextlib.chdir(self.store.config.repo_path),
        ):  # where relative paths of sources start, as in `feast`
            job = self.store.get_historical_features(frame, refs, full_feature_names=False)
            return job.to_arrow()

    def _online(self, read: Read, rows: pa.Table, cold: dict[str, int] | None) -> dict[str, pa.ChunkedArray]:
        """One view's newest rows for the distinct keys, without those that are past their ttl now."""
        names = [key.name for key in read.keys]
        columns = {key.name: typed_key(rows[key.column], key) for key in read.keys}
        if names:
            asked, places = _distinct(pa.table(columns))
        else:
            asked, places = pa.table({"none": [0]}), np.zeros(rows.num_rows, np.int64)
        known = np.ones(asked.num_rows, bool)
        for name in names:
            known &= asked[name].is_valid().to_numpy(zero_copy_only=False)
        usable = asked.filter(pa.array(known))
        found = iter(self._read(read, entity_keys(read.keys, [usable[name].to_pylist() for name in names])))
        stored = [next(found) if one else (None, None) for one in known.tolist()]
        ttl = read.view.ttl
        oldest = now() - ttl if ttl is not None and ttl.total_seconds() > 0 else None
        live = [
            # Redis stores answer for an unknown key with the year 1970.
            row is not None and when is not None and when.year > 1970 and (oldest is None or _utc(when) >= oldest)
            for when, row in stored
        ]
        if cold is not None and len(read.keys) == 1:
            owner = read.keys[0].owner
            cold[owner] = max(cold.get(owner, 0), live.count(False))
        made = {}
        for name, feature in read.features.items():
            values = [
                row.get(name) if alive and row is not None else None
                for alive, (_, row) in zip(live, stored, strict=True)
            ]
            made[name] = pa.chunked_array([of_store(values, feature, read.ref).take(pa.array(places))])
        return made

    def _read(self, read: Read, keys: list[Any]) -> list[tuple[datetime | None, Any]]:
        with store_failures(
            f"reading {len(keys)} keys of {read.ref!r} online", then="see that the online store runs, and try again"
        ):
            with self._lock:
                if self._provider is None:
                    self._provider = self.store.provider
            return [
                row
                for start in range(0, len(keys), _KEYS_PER_READ)
                for row in self._provider.online_read(
                    self.store.config, read.view, keys[start : start + _KEYS_PER_READ], list(read.features)
                )
            ]


def _distinct(table: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """The distinct rows of a table, and for each of its N rows the place of the distinct one: (N,) int64."""
    names = table.column_names
    numbered = table.append_column("row", pa.array(np.arange(table.num_rows)))
    groups = numbered.group_by(names, use_threads=False).aggregate([("row", "list")])
    lists = groups["row_list"].combine_chunks()
    places = np.empty(table.num_rows, np.int64)
    places[lists.flatten().to_numpy()] = np.repeat(np.arange(len(lists)), pc.list_value_length(lists).to_numpy())
    return groups.select(names), places


def now() -> datetime:
    """The moment against which values that are read online expire."""
    return datetime.now(UTC)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
