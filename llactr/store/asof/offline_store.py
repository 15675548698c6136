"""A Feast offline store on DuckDB's ASOF joins: the rows of Feast's own DuckDB store, for less CPU and memory.

In feature_store.yaml:

```yaml
offline_store:
  type: llactr.store.asof.AsofDuckDBOfflineStore
  memory_limit: 2GB        # optional: DuckDB and feature columns together; one batch of rows and Python come on top
  threads: 2               # optional
  temp_directory: /scratch # optional: where joins larger than memory spill
```

Against Feast's DuckDB store, which inner-joins every earlier version of a value and keeps the last:

- rows come out in the order of the entity rows;
- among values of one key, timestamp and creation time, the one stored last is taken, not an arbitrary one;
- an entity frame may be an SQL query, or be missing, with `start_date` and `end_date` in its place;
- features may end in `_y`, entity timestamps may have nanoseconds (values are compared by whole microseconds);
- a join-key map may name some of a view's keys; a view may have no entities;
- saved datasets may have on-demand features;
- relative paths start at the repository, and files that are being written (`.name`, `_name`) are not read;
- writing to a directory of Parquet adds a file, it does not rewrite the others.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _read_data_source,
    _validate_lance_feature_views,
)
from feast.infra.offline_stores.ibis import (
    offline_write_batch_ibis,
    pull_all_from_table_or_query_ibis,
    pull_latest_from_table_or_query_ibis,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from feast.utils import compute_non_entity_date_range
from pydantic import PositiveInt, field_validator

from llactr import objects
from llactr.sql import object_scan
from llactr.store.asof.entities import entities_of_frame, entities_of_range, entities_of_sql, frame_table
from llactr.store.asof.job import AsofRetrievalJob, JoinRequest, OpenEntities
from llactr.store.asof.join import Limits
from llactr.store.asof.plan import plan_views
from llactr.store.asof.source import append_to_source, parquet_files, parquet_objects

__all__ = ["AsofDuckDBOfflineStore", "AsofDuckDBOfflineStoreConfig"]

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class AsofDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """The `offline_store` section of feature_store.yaml."""

    type: str = "llactr.store.asof.AsofDuckDBOfflineStore"
    memory_limit: str | None = None
    """Such as 2GB or 512MiB. DuckDB gets three quarters, feature columns held in Arrow the rest; beyond, both spill."""
    threads: PositiveInt | None = None
    temp_directory: str | None = None
    """Where to spill; by default the system's temporary folder."""

    @field_validator("memory_limit")
    @classmethod
    def _a_size(cls, value: str | None) -> str | None:
        if value is not None:
            _bytes(value)
        return value

    @property
    def limits(self) -> Limits:
        """The three settings, read."""
        return Limits(
            memory_bytes=_bytes(self.memory_limit) if self.memory_limit else None,
            threads=self.threads,
            temp_directory=Path(self.temp_directory).expanduser() if self.temp_directory else None,
        )


class AsofDuckDBOfflineStore(DuckDBOfflineStore):
    """See the module's text. Reading for materialization is Feast's, with sources found as here."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """The join, not yet run. See `OfflineStore.get_historical_features`.

        Without an entity frame there is one row for each moment from `start_date` to `end_date` at which a requested
        view has a row, with that row's keys; each view's values are those current at that moment.

        Raises:
            DataError: the entity frame lacks a join key, or its timestamps are none.
            InputError: a view has no batch source.
        """
        _validate_lance_feature_views(feature_views)
        store: AsofDuckDBOfflineStoreConfig = config.offline_store
        repo_path = config.repo_path
        plans = plan_views(
            feature_views,
            feature_refs,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )
        open_entities: OpenEntities
        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, start_date=start_date, end_date=end_date)
            open_entities = partial(entities_of_range, plans=plans, start=start, end=end, repo_path=repo_path)
        elif isinstance(entity_df, str):
            open_entities = partial(entities_of_sql, query=entity_df, plans=plans)
        else:
            open_entities = partial(entities_of_frame, frame=frame_table(entity_df, plans), plans=plans)
        return AsofRetrievalJob(
            JoinRequest(
                open_entities=open_entities,
                plans=plans,
                feature_refs=feature_refs,
                on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
                full_feature_names=full_feature_names,
                limits=store.limits,
                repo_path=repo_path,
                staging=(store.staging_location, store.staging_location_endpoint_override),
            )
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Feast's, for materialization."""
        return pull_latest_from_table_or_query_ibis(
            config=config,
            data_source=data_source,
            join_key_columns=join_key_columns,
            feature_name_columns=feature_name_columns,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_date=start_date,
            end_date=end_date,
            data_source_reader=_read_source,
            data_source_writer=append_to_source,
            staging_location=config.offline_store.staging_location,
            staging_location_endpoint_override=config.offline_store.staging_location_endpoint_override,
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Feast's, for saved datasets."""
        return pull_all_from_table_or_query_ibis(
            config=config,
            data_source=data_source,
            join_key_columns=join_key_columns,
            feature_name_columns=feature_name_columns,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_date=start_date,
            end_date=end_date,
            data_source_reader=_read_source,
            data_source_writer=append_to_source,
            staging_location=config.offline_store.staging_location,
            staging_location_endpoint_override=config.offline_store.staging_location_endpoint_override,
        )

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Appends rows to a view's source; a directory of Parquet gets a new file."""
        files = feature_view.batch_source and parquet_files(feature_view.batch_source, config.repo_path)
        source = feature_view.batch_source
        if files is None and not (source and objects.place_of(getattr(source, "path", None))):
            DuckDBOfflineStore.offline_write_batch(config, feature_view, table, progress)
            return
        offline_write_batch_ibis(
            config=config,
            feature_view=feature_view,
            table=table,
            progress=progress,
            data_source_writer=append_to_source,
        )


def _read_source(source: DataSource, repo_path: str) -> ibis.expr.types.Table:
    files = parquet_files(source, Path(repo_path))
    if files is None and (found := parquet_objects(source)) is not None:
        backend: Any = ibis.get_backend()
        objects.show_to_duckdb(backend.con, endpoint=getattr(source, "s3_endpoint_override", None) or None)
        return backend.sql(f"SELECT * FROM {object_scan(found)}")
    if files is None:
        return _read_data_source(source, repo_path)
    return ibis.read_parquet([str(file) for file in files], hive_partitioning=False)


def _bytes(size: str) -> int:
    text = size.strip().upper()
    unit = next((name for name in sorted(_UNITS, key=len, reverse=True) if text.endswith(name)), None)
    number = text.removesuffix(unit).strip() if unit else ""
    if unit is None or not number.replace(".", "", 1).isdigit():
        raise ValueError(f"memory_limit is {size!r}, expected a size such as 2GB or 512MiB")
    return int(float(number) * _UNITS[unit])
