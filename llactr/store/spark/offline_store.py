"""A Feast offline store on Spark that gives the rows of the ASOF store.

In feature_store.yaml:

```yaml
offline_store:
  type: llactr.store.spark.AsofSparkOfflineStore
  spark_conf:
    spark.master: "local[2]"   # or yarn, spark://head:7077, k8s://...
batch_engine:
  type: spark.engine
```

Against Feast's Spark store, whose settings it takes:

- views over Parquet files (`FileSource`) are read, so that one registry serves this store and the DuckDB ones; a
  `SparkSource` (table, query, path) is read as there;
- an entity row gives exactly one row: Feast multiplies it by values that tie in timestamp and creation time, and loses
  its value where the creation time is null;
- keys are compared one by one: Feast joins their texts without a separator, so that ("a", "bc") sees what is of
  ("ab", "c");
- the session works in UTC: Feast compares timestamps with text in the session's zone;
- columns may have any name; null vectors and nulls of numbers stay null, timestamps keep their zone;
- `partitions` of the engine's section is heeded in materialization.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkOfflineStore, SparkOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from llactr.errors import InputError
from llactr.store.asof.plan import plan_views
from llactr.store.spark.job import AsofSparkRetrievalJob, JoinRequest, SparkFrameJob
from llactr.store.spark.session import spark_session
from llactr.store.spark.sources import SparkTable, column, open_table

__all__ = ["AsofSparkOfflineStore", "AsofSparkOfflineStoreConfig"]

_NUMBER = "__llactr_number"


class AsofSparkOfflineStoreConfig(SparkOfflineStoreConfig):
    """The `offline_store` section of feature_store.yaml."""

    type: str = "llactr.store.spark.AsofSparkOfflineStore"


class AsofSparkOfflineStore(SparkOfflineStore):
    """See the module's text. Writing to sources is Feast's."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **span: Any,
    ) -> RetrievalJob:
        """The join, not yet run. See `OfflineStore.get_historical_features`.

        Args:
            config: the repository's.
            feature_views: those asked for.
            feature_refs: `view:feature`.
            entity_df: a frame, a Spark data frame, or an SQL query of Spark's.
            registry: for on-demand views.
            project: the repository's.
            full_feature_names: whether features are called view__feature.
            filter_by_created_timestamp: whether values created after an entity row's moment stay unseen.
            span: Feast's `start_date` and `end_date`, which stand in for entity rows elsewhere.

        Raises:
            DataError: the entity rows lack a join key, or their timestamps are none.
            InputError: there are no entity rows, a view has no batch source, or Spark cannot run here.
        """
        if entity_df is None:
            raise InputError(
                "the Spark store joins entity rows, and there are none: give a frame or a query of keys and "
                "event_timestamp, or use the DuckDB store for a span of time"
            )
        plans = plan_views(
            feature_views,
            feature_refs,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )
        return AsofSparkRetrievalJob(
            JoinRequest(
                session=spark_session(config.offline_store),
                entities=entity_df,
                plans=plans,
                feature_refs=feature_refs,
                on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
                full_feature_names=full_feature_names,
                config=config,
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
        """The newest row of each key from `start_date` to `end_date`, both included, under Feast's names."""
        table = open_table(spark_session(config.offline_store), data_source, config.repo_path)
        rows = table.frame.filter(_between(table, timestamp_field, start_date, end_date))
        keys = [table.column(name) for name in join_key_columns]
        newest_first = [table.moment(timestamp_field).desc()]
        if created_timestamp_column:
            newest_first.append(table.moment(created_timestamp_column).desc_nulls_last())
        places = {f"__llactr_place{i}": place for i, place in enumerate(table.place)}
        rows = rows.withColumns(places)
        newest_first += [F.col(name).desc() for name in places]
        partitions = getattr(config.batch_engine, "partitions", 0)
        if partitions and keys:
            rows = rows.repartition(partitions, *keys)
        window = Window.partitionBy(*(keys or [F.lit(0)])).orderBy(*newest_first)
        rows = rows.withColumn(_NUMBER, F.row_number().over(window)).filter(F.col(_NUMBER) == 1)
        asked = [*join_key_columns, *feature_name_columns, timestamp_field, created_timestamp_column]
        return SparkFrameJob(_named(rows, table, data_source, asked), config)

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
        """All rows from `start_date` to `end_date`, both included, under Feast's names.

        Without names of features, all columns, as Feast's transformations want them.
        """
        table = open_table(spark_session(config.offline_store), data_source, config.repo_path)
        rows = table.frame.filter(_between(table, timestamp_field, start_date, end_date))
        asked = [*join_key_columns, *feature_name_columns, timestamp_field, created_timestamp_column]
        if not feature_name_columns:
            asked += table.frame.columns
        return SparkFrameJob(_named(rows, table, data_source, asked), config)


def _named(rows: DataFrame, table: SparkTable, source: DataSource, asked: Sequence[str | None]) -> DataFrame:
    """The columns that were asked for by their stored names, once each, under Feast's names."""
    mapping = source.field_mapping or {}
    stored = dict.fromkeys(table.physical(name) for name in asked if name)
    return rows.select(*(column(name).alias(mapping.get(name, name)) for name in stored))


def _between(table: SparkTable, timestamp: str, start: datetime | None, end: datetime | None) -> Any:
    moment = table.moment(timestamp)
    bounds = [F.lit(True)]
    if start is not None:
        bounds.append(moment >= F.lit(_utc(start)))
    if end is not None:
        bounds.append(moment <= F.lit(_utc(end)))
    return reduce(lambda one, other: one & other, bounds)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
