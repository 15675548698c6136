"""Rows that were asked for, and the ways to get them: Arrow, pandas, a Spark data frame, an ibis table."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import OnDemandFeatureView
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.repo_config import RepoConfig
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from llactr.errors import DataError
from llactr.store.asof.entities import (
    ROW,
    floored_moments,
    frame_table,
    refuse_missing_keys,
    timestamp_column,
)
from llactr.store.asof.plan import ViewPlan
from llactr.store.spark.join import MOMENT, join
from llactr.store.spark.sources import column

__all__ = ["AsofSparkRetrievalJob", "JoinRequest", "SparkFrameJob"]


@dataclass(frozen=True)
class JoinRequest:
    """What was asked for."""

    session: SparkSession
    entities: pd.DataFrame | pa.Table | DataFrame | str
    plans: Sequence[ViewPlan]
    feature_refs: Sequence[str]
    on_demand_feature_views: Sequence[OnDemandFeatureView]
    full_feature_names: bool
    config: RepoConfig


class SparkFrameJob(SparkRetrievalJob):
    """Rows of a Spark data frame, read when they are asked for."""

    def __init__(self, frame: DataFrame, config: RepoConfig) -> None:
        super().__init__(frame.sparkSession, query="", full_feature_names=False, config=config)
        self._frame = frame

    def to_spark_df(self) -> DataFrame:
        """The rows as Spark's executors see them."""
        return self._frame

    @cached_property
    def table(self) -> Any:
        """The rows as an ibis table, which counts and streams them as it does those of the DuckDB stores."""
        name = f"llactr_{uuid.uuid4().hex}"
        self._frame.createOrReplaceTempView(name)
        return ibis.pyspark.connect(self._frame.sparkSession).table(name)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.to_spark_df().toArrow()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()


class AsofSparkRetrievalJob(SparkRetrievalJob):
    """The rows of `get_historical_features`: as many as entity rows, duplicates kept.

    In Arrow and pandas they come in the order of the entity rows, with the columns of a frame as they were given; of
    a frame, only join keys and moments go to Spark. As a Spark data frame they are in no order, and stay in Spark.
    """

    def __init__(self, request: JoinRequest) -> None:
        super().__init__(
            request.session,
            query="",
            full_feature_names=request.full_feature_names,
            config=request.config,
            on_demand_feature_views=list(request.on_demand_feature_views),
        )
        self._request = request

    def to_spark_df(self) -> DataFrame:
        """Entity rows and features, not yet computed."""
        if self._frame is None:
            entities, timestamp = self._query
            return self._joined(self._with_moments(entities, timestamp), entities.columns, None).drop(MOMENT)
        entities = self._request.session.createDataFrame(_sendable(self._frame))
        return self._joined(self._with_moments(entities, self._timestamp), entities.columns, None).drop(MOMENT)

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """References, columns of the entity rows, and their span of time."""
        if self._frame is None:
            entities, timestamp = self._query
            found = entities.agg(F.min(column(timestamp)), F.max(column(timestamp))).collect()[0]
            names, first, last = entities.columns, found[0], found[1]
        else:
            timestamp, names = self._timestamp, self._frame.column_names
            first, last = (value.as_py() for value in pc.min_max(self._frame[timestamp]).values())
        keys = [name for name in names if name != timestamp]
        return RetrievalMetadata(list(self._request.feature_refs), keys, first, last)

    @cached_property
    def _frame(self) -> pa.Table | None:
        """A frame in Arrow; None where Spark has the entity rows."""
        entities = self._request.entities
        return None if isinstance(entities, str | DataFrame) else frame_table(entities, self._request.plans)

    @property
    def _timestamp(self) -> str:
        assert self._frame is not None
        return timestamp_column(self._frame.schema)

    @cached_property
    def _query(self) -> tuple[DataFrame, str]:
        """Entity rows that Spark has, and which column is their event timestamp."""
        asked = self._request.entities
        try:
            entities = self._request.session.sql(asked) if isinstance(asked, str) else asked
        except AnalysisException as error:
            raise DataError(f"Spark cannot run the entity query: {' '.join(str(error).split())[:300]}") from None
        refuse_missing_keys(list(entities.columns), self._request.plans)
        times = {name: pa.timestamp("us") for name, kind in entities.dtypes if kind.startswith("timestamp")}
        return entities, timestamp_column(pa.schema(times))

    @staticmethod
    def _with_moments(entities: DataFrame, timestamp: str) -> DataFrame:
        return entities.withColumn(MOMENT, F.unix_micros(column(timestamp).cast("timestamp")))

    def _joined(self, entities: DataFrame, shown: Sequence[str], last_us: int | None) -> DataFrame:
        request = self._request
        return join(
            request.session,
            entities,
            request.plans,
            shown=shown,
            last_us=last_us,
            repo_path=request.config.repo_path,
        )

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        frame = self._frame
        if frame is None:
            return self.to_spark_df().toArrow()
        keys = list(dict.fromkeys(key for plan in self._request.plans for key in plan.entity_columns))
        moments = floored_moments(frame[self._timestamp])
        sent = _sendable(frame.select(keys)).append_column(MOMENT, moments)
        sent = sent.append_column(ROW, pa.array(np.arange(frame.num_rows)))
        entities = self._request.session.createDataFrame(sent)
        joined = self._joined(entities, frame.column_names, pc.max(moments).as_py())
        found = joined.drop(MOMENT, *keys).toArrow().sort_by(ROW)
        for field in found.schema:
            if field.name != ROW:
                frame = frame.append_column(field, found[field.name])
        return frame

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()


def _sendable(table: pa.Table) -> pa.Table:
    """Columns in types that Spark takes: dictionaries as their values, moments in whole microseconds."""
    for i, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            table = table.set_column(i, field.name, table.column(i).cast(kind.value_type))
        elif pa.types.is_timestamp(kind) and kind.unit == "ns":
            floored = pc.floor_temporal(table.column(i), unit="microsecond")
            table = table.set_column(i, field.name, floored.cast(pa.timestamp("us", kind.tz)))
    return table
