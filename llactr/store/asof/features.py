"""A view's rows, held for one join: in memory when they fit, else in DuckDB, which spills them to disk.

The join finds row numbers; `ViewTable.take` turns them into feature columns. List columns (vectors) thus never pass
through a join or a sort, only through one copy.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["ResidentView", "SpilledView", "ViewTable", "load_view"]

_BATCH_ROWS = 200_000
_SAMPLE_ROWS = 4096
_names = itertools.count()


class ViewTable(ABC):
    """Rows of one view, numbered from 0.

    `relation` has (code, ts, created, place0, ..., view_row) for the join; `stored_order` are those of its columns that
    order rows as the source stores them.
    """

    relation: str
    stored_order: tuple[str, ...]
    count: int
    types: tuple[pa.DataType, ...]
    """The feature columns' types."""
    row_bytes: float
    """What the features of one row take, on average."""
    rows_per_take: int = 0
    """Fewer rows than that at a time cost as much as that many."""
    one_per_moment: bool
    """Whether no two rows are known to share a key and a timestamp, so that none has to be chosen."""

    @abstractmethod
    def take(self, rows: npt.NDArray[np.integer]) -> list[pa.ChunkedArray]:
        """The features of these rows, a column each; -1 gives nulls."""

    @abstractmethod
    def forget_keys(self) -> None:
        """Lets go of what only the join needs. `relation` is gone afterwards."""


class ResidentView(ViewTable):
    """All rows in Arrow. Taking costs one gather per column and batch."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: pa.Table, features: int) -> None:
        self._connection = connection
        self.relation = f"__llactr_view_{next(_names)}"
        self.count = table.num_rows
        self.row_bytes = table.nbytes / max(table.num_rows, 1)
        narrow = table.select(table.column_names[: table.num_columns - features])
        self.types = tuple(_plain(column.type) for column in table.columns[table.num_columns - features :])
        self._columns = [_compact(column) for column in table.columns[table.num_columns - features :]]
        places = [name for name in narrow.column_names if name.startswith("place")]
        if _ascending([narrow[name].to_numpy().astype(np.int64) for name in places]):
            narrow, places = narrow.drop_columns(places), ["view_row"]
        self.stored_order = tuple(places)
        self.one_per_moment = _distinct(narrow["code"].to_numpy(), narrow["ts"].to_numpy())
        number = np.int32 if self.count < 2**31 else np.int64
        connection.register(
            self.relation, narrow.append_column("view_row", pa.array(np.arange(self.count, dtype=number)))
        )

    def take(self, rows: npt.NDArray[np.integer]) -> list[pa.ChunkedArray]:
        """See `ViewTable.take`."""
        picked = pa.array(rows, mask=rows < 0)
        taken = [column.take(picked) for column in self._columns]
        return [_chunked(column.cast(kind)) for column, kind in zip(taken, self.types, strict=True)]

    def forget_keys(self) -> None:
        """See `ViewTable.forget_keys`."""
        self._connection.unregister(self.relation)


class SpilledView(ViewTable):
    """The rows lie in a DuckDB table; each `take` scans it once for the rows that it needs."""

    rows_per_take = 524_288

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, query: str, features: Sequence[str], *, row_bytes: float
    ) -> None:
        self._connection = connection
        self.row_bytes = row_bytes
        self._table = f"__llactr_view_{next(_names)}"
        connection.execute(f"CREATE TABLE {self._table} AS {query}")
        described = connection.execute(f"SELECT * FROM {self._table} LIMIT 0").to_arrow_table().schema
        self.stored_order = tuple(name for name in described.names if name.startswith("place"))
        self.types = tuple(_plain(described.field(name).type) for name in features)
        self.relation = (
            f"(SELECT code, ts, created, {', '.join(self.stored_order)}, rowid AS view_row FROM {self._table})"
        )
        self.count = connection.execute(f"SELECT count(*) FROM {self._table}").fetchall()[0][0]
        self._features = features
        self.one_per_moment = False

    def take(self, rows: npt.NDArray[np.integer]) -> list[pa.ChunkedArray]:
        """See `ViewTable.take`."""
        known = rows >= 0
        needed, which = np.unique(rows[known], return_inverse=True)
        cursor = self._connection.cursor()  # others may be reading from the connection
        cursor.register("needed", pa.table({"view_row": needed}))
        columns = ", ".join(["rowid", *self._features])
        found = cursor.execute(
            f"SELECT {columns} FROM {self._table} WHERE rowid IN (SELECT view_row FROM needed)"
        ).to_arrow_table()
        cursor.close()
        picked = np.zeros(len(rows), dtype=np.int64)
        picked[known] = np.argsort(found["rowid"].to_numpy())[which]
        positions = pa.array(picked, mask=~known)
        taken = [_merged(found[name]).take(positions) for name in self._features]
        return [_chunked(column.cast(kind)) for column, kind in zip(taken, self.types, strict=True)]

    def forget_keys(self) -> None:
        """See `ViewTable.forget_keys`; here they stay on disk."""


def load_view(
    connection: duckdb.DuckDBPyConnection, query: str, features: Sequence[str], *, budget_bytes: int | None
) -> tuple[ViewTable, int]:
    """The rows of `query`, in memory if they take no more than the budget.

    Args:
        connection: where the join runs.
        query: SQL of (code, ts, created, place0, ..., then the feature columns).
        features: the feature columns' names in it, in their order.
        budget_bytes: None for no limit.

    Returns:
        the rows, and the bytes of memory that they take.
    """
    reader = connection.execute(query).to_arrow_reader(_BATCH_ROWS)
    batches: list[pa.RecordBatch] = []
    size = rows = 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        rows += batch.num_rows
        if budget_bytes is not None and size > budget_bytes:
            batches.clear()
            reader.close()
            return SpilledView(connection, query, features, row_bytes=size / rows), 0
    return ResidentView(connection, pa.Table.from_batches(batches, reader.schema), len(features)), size


def _compact(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The column in one piece; strings that repeat as a dictionary, which is gathered several times faster."""
    merged = _merged(column)
    if pa.types.is_string(column.type) and len(column) > _SAMPLE_ROWS:
        sample = column.slice(0, _SAMPLE_ROWS)
        if pc.count_distinct(sample).as_py() < _SAMPLE_ROWS // 8:
            encoded: pa.Array | pa.ChunkedArray = merged.dictionary_encode()
            return encoded
    return merged


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type with Arrow's own name for what is in a list, where DuckDB has another."""
    return pa.list_(_plain(kind.value_type)) if pa.types.is_list(kind) else kind


def _merged(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """One array; still several where one array's 32-bit offsets would not do."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _chunked(column: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _ascending(keys: Sequence[npt.NDArray[np.int64]]) -> bool:
    """Whether rows ordered by these keys, the first being the most significant, are in strictly ascending order."""
    if not len(keys[0]):
        return True
    decided = np.zeros(len(keys[0]) - 1, dtype=bool)
    for key in keys:
        step = np.diff(key)
        if (step[~decided] < 0).any():
            return False
        decided |= step > 0
    return bool(decided.all())


def _distinct(codes: npt.NDArray[np.int32], ts: npt.NDArray[np.int64]) -> bool:
    """Whether all pairs (code, ts) differ; False also where that is not cheap to tell. Cost: one sort of integers."""
    if not len(ts):
        return True
    first, last = int(ts.min()), int(ts.max())
    width = last - first + 1
    if (int(codes.max()) + 1) * width >= 2**63:
        return False
    packed = codes.astype(np.int64) * width + (ts - first)
    packed.sort()
    return not bool((packed[1:] == packed[:-1]).any())
