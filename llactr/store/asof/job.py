"""A point-in-time join that has been asked for, and the ways to get its rows: Arrow, pandas, batches, Parquet.

Every way runs the join anew, on a DuckDB connection of its own that is closed afterwards.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import duckdb
import ibis
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.duckdb import _write_data_source
from feast.infra.offline_stores.file_source import FileSource, SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage
from feast.type_map import feast_value_type_to_pa

from llactr.errors import DataError
from llactr.store.asof.entities import EntityRows
from llactr.store.asof.join import Joined, Limits, join
from llactr.store.asof.plan import ViewPlan
from llactr.store.asof.source import local_parquet_path
from llactr.store.asof.write import write_parquet

__all__ = ["AsofRetrievalJob", "JoinRequest", "OpenEntities"]

OpenEntities: TypeAlias = Callable[[duckdb.DuckDBPyConnection], EntityRows]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH_ROWS = 131_072
ROWS_PER_FILE = 16 * BATCH_ROWS


@dataclass(frozen=True)
class JoinRequest:
    """What was asked for."""

    open_entities: OpenEntities
    plans: Sequence[ViewPlan]
    feature_refs: Sequence[str]
    on_demand_feature_views: Sequence[OnDemandFeatureView]
    full_feature_names: bool
    limits: Limits
    repo_path: Path | None
    staging: tuple[str | None, str | None] = (None, None)
    """Feast's staging_location and its endpoint."""


class AsofRetrievalJob(RetrievalJob):
    """The rows of `get_historical_features`: as many as entity rows, in their order, duplicates kept."""

    def __init__(self, request: JoinRequest) -> None:
        super().__init__()
        self._request = request
        self._metadata: RetrievalMetadata | None = None

    def to_record_batches(self, *, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows as a stream, on-demand features included; these are computed batch by batch.

        The join runs when the stream is made, the features are gathered as it is read. Close the reader, or read it to
        its end: it holds the join's memory and temporary files until then.

        Args:
            batch_rows: rows of a batch, the last one may have fewer.
        """
        stack = contextlib.ExitStack()
        schema, tables = stack.enter_context(self._rows(batch_rows))

        def batches() -> Iterator[pa.RecordBatch]:
            with stack:
                for table in tables:
                    yield from table.combine_chunks().to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def to_parquet(self, path: Path, *, rows_per_file: int = ROWS_PER_FILE, overwrite: bool = False) -> int:
        """Streams the rows to Parquet: one file if `path` ends in `.parquet`, else a directory of numbered files.

        Raises:
            SavedDatasetLocationAlreadyExists: something is there, and may not be overwritten.

        Returns:
            the number of rows.
        """
        if path.exists() and not overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        with self._rows(BATCH_ROWS) as (schema, tables):
            return write_parquet(tables, schema, path, rows_per_file=rows_per_file, overwrite=overwrite)

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Feast's way to `to_parquet`. Storages elsewhere (object stores, Delta) get the rows from memory."""
        if isinstance(storage, SavedDatasetFileStorage):
            path = local_parquet_path(storage.to_data_source(), self._request.repo_path)
            if path is not None:
                self.to_parquet(path, overwrite=allow_overwrite)
                return
        rows = ibis.memtable(self.to_arrow())
        _write_data_source(rows, storage.to_data_source(), str(self._request.repo_path), "overwrite", allow_overwrite)

    def supports_remote_storage_export(self) -> bool:
        """Whether a staging location is configured."""
        return self._request.staging[0] is not None

    def to_remote_storage(self) -> list[str]:
        """Streams the rows to Parquet files below the staging location; returns their paths."""
        location, endpoint = self._request.staging
        if location is None:
            raise DataError("the offline store has no staging_location: set it in feature_store.yaml")
        folder = f"{location.rstrip('/')}/{uuid.uuid4().hex}"
        filesystem, path = FileSource.create_filesystem_and_path(folder, endpoint or "")
        filesystem = filesystem or pafs.LocalFileSystem()
        pads.write_dataset(self.to_record_batches(), path, format="parquet", filesystem=filesystem, preserve_order=True)
        prefix = folder.removesuffix(path)
        found = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
        return sorted(prefix + info.path for info in found if info.is_file)

    @property
    def full_feature_names(self) -> bool:
        """Whether features are called view__feature."""
        return self._request.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The views that are computed from the joined rows."""
        return list(self._request.on_demand_feature_views)

    @property
    def metadata(self) -> RetrievalMetadata:
        """References, columns of the entity rows, and their span of time. The first use reads the entity rows."""
        if self._metadata is None:
            with self._request.limits.connection() as connection:
                self._describe(self._request.open_entities(connection))
        assert self._metadata is not None
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._joined() as joined:
            return pa.concat_tables([joined.schema.empty_table(), *joined.tables(BATCH_ROWS)])

    @contextlib.contextmanager
    def _joined(self) -> Iterator[Joined]:
        request = self._request
        with request.limits.connection() as connection:
            entities = request.open_entities(connection)
            self._describe(entities)
            yield join(
                connection,
                entities,
                request.plans,
                resident_bytes=request.limits.resident_bytes,
                repo_path=request.repo_path,
            )

    @contextlib.contextmanager
    def _rows(self, batch_rows: int) -> Iterator[tuple[pa.Schema, Iterator[pa.Table]]]:
        """The result's schema and its rows, a table per batch."""
        with self._joined() as joined:
            tables = joined.tables(batch_rows)
            if not self.on_demand_feature_views:
                yield joined.schema, tables
                return
            first = self._with_on_demand_features(next(tables, joined.schema.empty_table()))
            # What pandas makes of a batch depends on its nulls: the declared types hold for all batches.
            kinds = self._declared_on_demand_types()
            schema = pa.schema([pa.field(f.name, kinds.get(f.name, f.type)) for f in first.schema])
            rest = (self._with_on_demand_features(table) for table in tables)
            yield schema, (table.cast(schema) for table in itertools.chain([first], rest))

    def _with_on_demand_features(self, table: pa.Table) -> pa.Table:
        return _JoinedRows(self, table).to_arrow()

    def _declared_on_demand_types(self) -> dict[str, pa.DataType]:
        kinds: dict[str, pa.DataType] = {}
        for view in self.on_demand_feature_views:
            prefix = f"{view.projection.name_to_use()}__" if self.full_feature_names else ""
            kinds |= {prefix + f.name: feast_value_type_to_pa(f.dtype.to_value_type()) for f in view.features}
        return kinds

    def _describe(self, entities: EntityRows) -> None:
        first, last = entities.span_us or (None, None)
        self._metadata = RetrievalMetadata(
            features=list(self._request.feature_refs),
            keys=[name for name in entities.schema.names if name != entities.timestamp],
            min_event_timestamp=None if first is None else _EPOCH + timedelta(microseconds=first),
            max_event_timestamp=None if last is None else _EPOCH + timedelta(microseconds=last),
        )


class _JoinedRows(RetrievalJob):
    """Rows of a job that are joined already, so that Feast's own code computes the on-demand features."""

    def __init__(self, job: AsofRetrievalJob, table: pa.Table) -> None:
        super().__init__()
        self._job = job
        self._table = table

    @property
    def full_feature_names(self) -> bool:
        return self._job.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._job.on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._job.metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._table
