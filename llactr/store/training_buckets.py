"""Training rows bucket by bucket: no machine holds the keys, or the events, of all.

Events are cut by a hash of the user's key into buckets; each is joined alone, here or by workers, so that a join holds
the features of one bucket's users, and of the items that these met; the joined buckets are put back into the order of
events by a sort that spills. The rows are those of `training_rows`, in the same order.

Disk: the events twice and the joined rows once, in the workspace, gone afterwards. CPU: every bucket scans the files of
users and items anew, so few large buckets cost less than many small ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.atomic import scratch, writing_file
from llactr.columns import EVENT_TIMESTAMP, SEMANTICS_VERSION
from llactr.errors import DataError, InputError, NotReadyError
from llactr.pieces import ALONE, Seat, Workers, run_pieces
from llactr.spec import DatasetSpec
from llactr.sql import connect, parquet_scan, quote_identifier, quote_literal
from llactr.store.training import joined_rows, refuse_rows_without_release
from llactr.workspace import Workspace

__all__ = ["BucketedRows", "bucketed_training_rows", "cut_events"]

_FILE, _ROW, _BUCKET = "__llactr_file", "__llactr_row", "__llactr_bucket"
_CHUNK_ROWS = 250_000
_SORT_MEMORY = "1GB"


@dataclass(frozen=True)
class BucketedRows:
    """Joined rows that lie in files, bucket by bucket.

    Attributes:
        count: how many there are.
        files: one a bucket.
        schema: of the rows, without the columns that order them.
        spill: where the sort may write.
    """

    count: int
    files: tuple[Path, ...]
    schema: pa.Schema
    spill: Path

    def tables(self, rows: int = _CHUNK_ROWS) -> Iterator[pa.Table]:
        """The rows in the order of events, at most `rows` at a time; sorted on disk beyond a gigabyte."""
        shown = ", ".join(quote_identifier(name) for name in self.schema.names)
        order = ", ".join(map(quote_identifier, (EVENT_TIMESTAMP, _FILE, _ROW)))
        with contextlib.closing(connect(memory_limit=_SORT_MEMORY, temporary=self.spill)) as connection:
            query = f"SELECT {shown} FROM {parquet_scan(self.files)} ORDER BY {order}"
            for batch in connection.execute(query).to_arrow_reader(rows):
                yield _typed(pa.Table.from_batches([batch]), self.schema)


@contextlib.contextmanager
def bucketed_training_rows(
    workspace: Workspace,
    spec: DatasetSpec,
    *,
    buckets: int,
    workers: Workers = ALONE,
    with_release: bool = True,
    config: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Iterator[BucketedRows]:
    """What `training_rows` gives, made bucket by bucket; the files are gone after the block.

    Args:
        workspace: an applied workspace; on Ray, on a file system that all machines share.
        spec: the dataset's resolved spec.
        buckets: parts by a hash of the user's key, joined one at a time a worker.
        workers: who joins.
        with_release: see `training_rows`.
        config: see `open_store`.
        progress: called with (buckets done, buckets, note).

    Raises:
        InputError: fewer than one bucket.
        NotReadyError: no events, nothing applied, or an event lies before the first release.
        StoreError: Feast failed, or gave other rows than it was asked for.
    """
    if buckets < 1:
        raise InputError(f"{buckets} buckets hold nothing: give one or more")
    with scratch(workspace.root / "buckets" / spec.name) as folder:
        if progress is not None:
            progress(0, buckets, "cutting the events")
        cut, schema = cut_events(workspace, spec, folder, buckets=buckets)
        begin = _BeginJoin(workspace, spec, folder, schema, with_release, config)
        joined: list[_Joined] = []
        for one in run_pieces(begin, cut, workers):
            joined.append(one)
            if progress is not None:
                progress(len(joined), len(cut), f"{sum(each.rows for each in joined):,} rows joined")
        if with_release:
            firsts = [one.first_without for one in joined if one.first_without is not None]
            refuse_rows_without_release(
                spec, sum(one.without for one in joined), sum(one.rows for one in joined), min(firsts, default=None)
            )
        yield BucketedRows(
            count=sum(one.rows for one in joined),
            files=tuple(one.file for one in joined),
            schema=joined[0].schema,
            spill=folder,
        )


def cut_events(
    workspace: Workspace, spec: DatasetSpec, folder: Path, *, buckets: int
) -> tuple[list[tuple[Path, ...]], pa.Schema]:
    """Cuts a dataset's events into files by a hash of the user's key (of the first entity's, where there is no user).

    Memory: a gigabyte, whatever the number of events.

    Args:
        workspace: where.
        spec: the dataset's.
        folder: where the files go.
        buckets: into how many parts; those without any event are left out.

    Returns:
        a bucket's files, for each, and the events' schema. Each row has the number of the file that it came from and
        its place there as two more columns: with the time they order all events as `events_table` does.

    Raises:
        NotReadyError: there are no events.
        DataError: a file of events is damaged.
    """
    source = workspace.offline_table(spec.name, "events")
    files = sorted(source.glob("*.parquet"))
    if not files:
        raise NotReadyError(f"there is no table {source}: run 'llactr ingest' first")
    entity = spec.entities.get("user") or next(iter(spec.entities.values()))
    target = folder / "cut"
    query = (
        f"SELECT *, file_index AS {_FILE}, file_row_number AS {_ROW}, "
        f"hash({quote_identifier(entity.join_key)}) % {buckets:d} AS {_BUCKET} FROM {parquet_scan(files)}"
    )
    try:
        schema = pq.read_schema(files[0])
        with contextlib.closing(connect(temporary=folder)) as connection:
            connection.execute(
                f"COPY ({query}) TO {quote_literal(str(target))} (FORMAT parquet, PARTITION_BY ({_BUCKET}))"
            )
    except (duckdb.Error, pa.ArrowException) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(
            f"the events of {spec.name!r} in {source} cannot be read ({said}): run 'llactr ingest --force'"
        ) from None
    parts = sorted(target.iterdir(), key=lambda path: int(path.name.rpartition("=")[2]))
    return [tuple(sorted(part.glob("*.parquet"))) for part in parts], schema


@dataclass(frozen=True)
class _Joined:
    """A bucket's joined rows: where, their types, how many lie before the first release, and when the first does."""

    file: Path
    rows: int
    schema: pa.Schema
    without: int
    first_without: datetime | None


@dataclass(frozen=True)
class _BeginJoin:
    """A piece is a bucket's files; its joined rows are one file, named after it: joined again, it is the same again."""

    workspace: Workspace
    spec: DatasetSpec
    folder: Path
    schema: pa.Schema
    with_release: bool
    config: Path | None

    def __call__(self, seat: Seat) -> Callable[[tuple[Path, ...]], _Joined]:
        seat.take(self.folder)
        return self._join

    def _join(self, files: Sequence[Path]) -> _Joined:
        cut = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
        cut = cut.sort_by([(EVENT_TIMESTAMP, "ascending"), (_FILE, "ascending"), (_ROW, "ascending")])
        events = _typed(cut.select(self.schema.names), self.schema)
        rows = joined_rows(self.workspace, self.spec, events, with_release=self.with_release, config=self.config)
        without, first = 0, None
        if self.with_release and rows[SEMANTICS_VERSION].null_count:
            missing = pc.is_null(rows[SEMANTICS_VERSION])
            without, first = rows[SEMANTICS_VERSION].null_count, pc.min(rows[EVENT_TIMESTAMP].filter(missing)).as_py()
        target = self.folder / f"joined-{files[0].parent.name.rpartition('=')[2]}.parquet"
        with writing_file(target) as draft:
            placed = rows.append_column(_FILE, cut[_FILE]).append_column(_ROW, cut[_ROW])
            pq.write_table(placed, draft)
        return _Joined(target, rows.num_rows, rows.schema, without, first)


def _typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """What went through DuckDB, in the types that it had before."""
    columns = []
    for field in schema:
        column = table[field.name]
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.cast(field.type.value_type).combine_chunks().dictionary_encode()
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)
