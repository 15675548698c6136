"""The entity rows of a join: a data frame, an SQL query, or the moments in a span of time, as one numbered relation.

`EntityRows.relation` has the rows' join keys, `__llactr_row` (0, 1, ... in the order in which rows came) and
`__llactr_ts` (the event timestamp in microseconds of UTC, null where there is none). `EntityRows.batches` gives the
rows themselves back, in order, with every column as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast.errors import EntityTimestampInferenceException

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.errors import DataError
from llactr.sql import quote_identifier
from llactr.store.asof.plan import ViewPlan
from llactr.store.asof.source import open_source

__all__ = [
    "ROW", "TS", "EntityRows", "entities_of_frame", "entities_of_range", "entities_of_sql", "floored_moments",
    "frame_table", "refuse_missing_keys", "timestamp_column",
]  # fmt: skip

ROW = "__llactr_row"
TS = "__llactr_ts"
_ROWS = "__llactr_entity_rows"
_KEYS = "__llactr_entity_keys"
_QUERY = "__llactr_entity_query"


class EntityRows:
    """Rows that wait for features. A frame's columns are shared, not copied; an SQL query's rows lie in DuckDB."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        *,
        schema: pa.Schema,
        timestamp: str,
        relation: str,
        table: pa.Table | None,
    ) -> None:
        self.schema = schema
        self.timestamp = timestamp
        self.relation = relation
        self._table = table
        self._connection = connection
        count, first, last = connection.execute(f"SELECT count(*), min({TS}), max({TS}) FROM {relation}").fetchall()[0]
        self.count: int = count
        self.span_us: tuple[int, int] | None = None if first is None else (first, last)
        """The first and the last event timestamp; None where no row has one."""

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """The rows in their order, at most `rows` at a time."""
        if self._table is not None:
            for start in range(0, self.count, rows):
                yield self._table.slice(start, rows)
            return
        # A cursor, so that other queries may run while this one is being read.
        cursor = self._connection.cursor()
        try:
            for batch in cursor.execute(f"SELECT * EXCLUDE ({TS}) FROM {_ROWS}").to_arrow_reader(rows):
                yield pa.Table.from_batches([batch])
        finally:
            cursor.close()


def frame_table(frame: pd.DataFrame | pa.Table, plans: Sequence[ViewPlan]) -> pa.Table:
    """A data frame as `entities_of_frame` wants it: in Arrow, its event timestamps as timestamps with a time zone.

    Args:
        frame: join keys, an event timestamp (datetimes, or ISO text; without a time zone it is UTC) and what else the
            result shall carry along.
        plans: say which columns are join keys.

    Raises:
        DataError: a join key is missing, or the event timestamp is no time.
        EntityTimestampInferenceException: no column is called event_timestamp, and several, or none, hold datetimes.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False) if isinstance(frame, pd.DataFrame) else frame
    table = table.replace_schema_metadata(None)
    timestamp = timestamp_column(table.schema)
    refuse_missing_keys(table.column_names, plans)
    index = table.schema.get_field_index(timestamp)
    return table.set_column(index, timestamp, _moments(table[timestamp], timestamp))


def entities_of_frame(
    connection: duckdb.DuckDBPyConnection, *, frame: pa.Table, plans: Sequence[ViewPlan]
) -> EntityRows:
    """The rows of a data frame that `frame_table` made."""
    timestamp = timestamp_column(frame.schema)
    relation = frame.select(list(dict.fromkeys(key for plan in plans for key in plan.entity_columns)))
    relation = relation.append_column(TS, floored_moments(frame[timestamp]))
    relation = relation.append_column(ROW, pa.array(np.arange(frame.num_rows)))
    connection.register(_KEYS, relation)
    return EntityRows(connection, schema=frame.schema, timestamp=timestamp, relation=_KEYS, table=frame)


def floored_moments(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps with a zone as (N,) int64 microseconds of UTC; of nanoseconds the whole microseconds."""
    if moments.type.unit == "ns":
        moments = pc.floor_temporal(moments, unit="microsecond")
    return moments.cast(TIMESTAMP).cast(pa.int64())


def entities_of_sql(connection: duckdb.DuckDBPyConnection, *, query: str, plans: Sequence[ViewPlan]) -> EntityRows:
    """The rows of one DuckDB `SELECT`, which may read files; they are kept in DuckDB, where they can spill to disk.

    Raises:
        DataError: the text is not one SELECT that DuckDB can run, or lacks a join key.
        EntityTimestampInferenceException: as for a frame.
    """
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DataError(f"the entity query holds {len(statements)} statements, expected one SELECT: {query[:200]}")
        connection.execute(f"CREATE VIEW {_QUERY} AS {statements[0].query}")
        described = connection.execute(f"DESCRIBE {_QUERY}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"DuckDB cannot run the entity query: {' '.join(str(error).split())[:300]}") from None
    types = {name: kind for name, kind, *_ in described}
    schema = pa.schema({name: _arrow_kind(kind) for name, kind in types.items()})
    timestamp = timestamp_column(schema)
    refuse_missing_keys(list(types), plans)
    column = quote_identifier(timestamp)
    return _stored(connection, f"SELECT * REPLACE (CAST({column} AS TIMESTAMPTZ) AS {column}) FROM {_QUERY}", timestamp)


def entities_of_range(
    connection: duckdb.DuckDBPyConnection,
    *,
    plans: Sequence[ViewPlan],
    start: datetime,
    end: datetime,
    repo_path: Path | None,
) -> EntityRows:
    """One row for each moment in [start, end] at which a requested view has a row of an entity, oldest first.

    Views may have different keys: a row has the keys of the view it comes from, the others are null.
    """
    keys = list(dict.fromkeys(key for plan in plans for key in plan.entity_columns))
    parts = []
    for plan in plans:
        source = open_source(connection, plan.source, repo_path)
        columns = [f"{source.quoted(key)} AS {quote_identifier(shown)}" for key, shown in plan.join_keys]
        moment = f"CAST({source.quoted(plan.timestamp)} AS TIMESTAMPTZ)"
        parts.append(
            f"SELECT {', '.join([*columns, f'{moment} AS {EVENT_TIMESTAMP}'])} FROM {source.sql} "
            f"WHERE {moment} BETWEEN {_literal(start)} AND {_literal(end)}"
        )
    order = ", ".join([EVENT_TIMESTAMP, *(quote_identifier(key) for key in keys)])
    rows = f"SELECT {order} FROM (SELECT DISTINCT * FROM ({' UNION ALL BY NAME '.join(parts)})) ORDER BY {order}"
    return _stored(connection, rows, EVENT_TIMESTAMP)


def _stored(connection: duckdb.DuckDBPyConnection, query: str, timestamp: str) -> EntityRows:
    try:
        connection.execute(
            f"CREATE TABLE {_ROWS} AS SELECT *, epoch_us({quote_identifier(timestamp)}) AS {TS} FROM ({query})"
        )
    except duckdb.Error as error:
        raise DataError(f"DuckDB cannot run the entity query: {' '.join(str(error).split())[:300]}") from None
    schema = connection.execute(f"SELECT * EXCLUDE ({TS}) FROM {_ROWS} LIMIT 0").to_arrow_table().schema
    # Rows of a table made in one go are numbered from 0 in the query's order.
    relation = f"(SELECT *, rowid AS {ROW} FROM {_ROWS})"
    return EntityRows(connection, schema=schema, timestamp=timestamp, relation=relation, table=None)


def timestamp_column(schema: pa.Schema) -> str:
    """Which of the entity rows' columns is the event timestamp.

    Raises:
        EntityTimestampInferenceException: no column is called event_timestamp, and several, or none, hold datetimes.
    """
    if EVENT_TIMESTAMP in schema.names:
        return EVENT_TIMESTAMP
    candidates = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if len(candidates) != 1:
        raise EntityTimestampInferenceException(EVENT_TIMESTAMP)
    return candidates[0]


def _moments(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """The event timestamps, in UTC where they had no time zone, in the precision in which they came."""
    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            parsed = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
            return pa.chunked_array([pa.Array.from_pandas(parsed, type=TIMESTAMP, safe=False)])
        if pa.types.is_null(column.type) or pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))
        if not pa.types.is_timestamp(column.type):
            raise DataError(
                f"the entity frame's {name!r} is {column.type}, expected timestamps: convert it, for example with "
                "pandas.to_datetime(..., utc=True)"
            )
        if column.type.unit in ("s", "ms"):
            column = column.cast(pa.timestamp("us", column.type.tz))
        return column if column.type.tz else column.cast(pa.timestamp(column.type.unit, "UTC"))
    except (ValueError, pa.ArrowInvalid) as error:
        raise DataError(f"the entity frame's {name!r} holds what is no time ({error}): mend or drop it") from None


def refuse_missing_keys(columns: Sequence[str], plans: Sequence[ViewPlan]) -> None:
    """Checks that the entity rows have every view's join keys.

    Raises:
        DataError: one is missing.
    """
    for plan in plans:
        missing = [key for key in plan.entity_columns if key not in columns]
        if missing:
            raise DataError(
                f"the entity frame has no column {', '.join(map(repr, missing))}, which view {plan.name!r} is joined "
                f"by; it has {', '.join(map(repr, columns))}"
            )


def _arrow_kind(duckdb_type: str) -> pa.DataType:
    """Just enough to tell times from other columns."""
    return pa.timestamp("us") if duckdb_type.startswith("TIMESTAMP") else pa.null()


def _literal(moment: datetime) -> str:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"TIMESTAMPTZ '{aware.astimezone(UTC).isoformat(sep=' ')}'"
