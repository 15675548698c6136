"""A feature view's batch source as a Spark data frame: the files of our own views, or what Feast's SparkSource names.

The views of `llactr.store.definitions` have Parquet files for sources, whatever store reads them; here is the only
place where these become Spark's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from feast import FileSource
from feast.data_format import DeltaFormat, ParquetFormat
from feast.data_source import DataSource
from feast.errors import DataSourceNotFoundException
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from llactr.errors import DataError, InputError, NotReadyError
from llactr.store.asof.source import parquet_files

__all__ = ["SparkTable", "column", "open_table"]


@dataclass(frozen=True)
class SparkTable:
    """A source as Spark can read it."""

    frame: DataFrame
    """Columns under their stored names."""
    place: tuple[Column, ...]
    """What orders the rows as they are stored: file and row; empty where Spark does not tell."""
    mapping: dict[str, str]
    """Feast's name -> stored name, where they differ."""

    def physical(self, name: str) -> str:
        """The stored name of a column that Feast calls `name`.

        Raises:
            DataError: there is none.
        """
        for stored in (self.mapping.get(name), name):
            if stored is not None and stored in self.frame.columns:
                return stored
        raise DataError(f"the source has no column {name!r}, it has {', '.join(self.frame.columns)}")

    def column(self, name: str) -> Column:
        """The column that Feast calls `name`."""
        return column(self.physical(name))

    def moment(self, name: str) -> Column:
        """A column of timestamps with a zone; one without (`TIMESTAMP_NTZ`) is UTC, the session's."""
        return self.column(name).cast("timestamp")

    def type_of(self, name: str) -> str:
        """Spark's type of a column, such as `string` or `array<float>`."""
        return str(self.frame.schema[self.physical(name)].dataType.simpleString())


def column(name: str) -> Column:
    """A column by exactly this name, whatever is in it."""
    return F.col("`" + name.replace("`", "``") + "`")


def open_table(session: SparkSession, source: DataSource, repo_path: Path | None) -> SparkTable:
    """A source as a data frame; nothing but its schema is read.

    Raises:
        InputError: the source is of a kind that Spark does not read here.
        NotReadyError: there is no such file or table.
    """
    mapping = {new: old for old, new in (source.field_mapping or {}).items()}
    try:
        frame, place = _frame(session, source, repo_path)
    except (AnalysisException, DataSourceNotFoundException) as error:
        reason = " ".join(str(error).split())[:300]
        raise NotReadyError(f"Spark cannot read the source {source.name!r} ({reason}): write its table first") from None
    return SparkTable(frame, place, mapping)


def _frame(session: SparkSession, source: DataSource, repo_path: Path | None) -> tuple[DataFrame, tuple[Column, ...]]:
    if isinstance(source, SparkSource):
        if source.table or source.query or source.table_format is not None:
            return session.sql(f"SELECT * FROM {source.get_table_query_string()}"), ()
        frame = session.read.format(source.file_format).load(source.path)
        return frame, _stored_order() if source.file_format == "parquet" else ()
    if not isinstance(source, FileSource):
        raise InputError(
            f"the source {source.name!r} is a {type(source).__name__}, and the Spark store reads FileSource and "
            "SparkSource: use one of these"
        )
    if isinstance(source.file_format, DeltaFormat):
        return session.read.format("delta").load(source.path), ()
    if not (source.file_format is None or isinstance(source.file_format, ParquetFormat)):
        raise InputError(
            f"the source {source.name!r} is of format {type(source.file_format).__name__}, and the Spark store reads "
            "Parquet and Delta: use a SparkSource"
        )
    reader = session.read.option("recursiveFileLookup", "true")  # a folder called x=1 adds no column x
    files = parquet_files(source, repo_path)
    if files is None:  # an object store, or another file system of Spark's
        return reader.parquet(source.path), _stored_order()
    return reader.parquet(*map(str, files)), _stored_order()


def _stored_order() -> tuple[Column, ...]:
    return F.col("_metadata.file_path"), F.col("_metadata.row_index")
