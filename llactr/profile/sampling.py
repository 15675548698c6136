"""A sample of a table, in blocks from all along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.profile.files import GZIP, ZSTD, Part, by_folder
from llactr.profile.scans import WHOLE_BYTES, csv_scan, scan_of
from llactr.sql import quote_identifier, quote_literal

__all__ = ["take_sample"]

_BLOCKS = 6


def take_sample(
    connection: duckdb.DuckDBPyConnection, part: Part, scan: str, sample: str, limit: int, selected: str
) -> tuple[int, bool]:
    """Makes the table of the sample; returns the table's rows, and whether that is an estimate."""
    size = sum(path.stat().st_size for path in part.files)
    if part.format == "parquet" and not by_folder(part) and _same_in_arrow(part.files):
        rows = sum(pq.read_metadata(path).num_rows for path in part.files)
        if rows > limit:
            connection.register("blocks_of_rows", _parquet_blocks(part.files, rows, limit))
            connection.execute(f"CREATE TABLE {sample} AS SELECT {selected} FROM blocks_of_rows")
            connection.unregister("blocks_of_rows")
            return rows, False
    elif part.format == "duckdb" and not _is_view(connection, part, sample):
        found = connection.execute(f"SELECT count(*) FROM {scan}").fetchone()
        rows = found[0] if found else 0
        if rows > limit:
            source = (
                f"db_{sample.removeprefix('sample_')}.{quote_identifier(part.table or '')}"  # which has row numbers
            )
            connection.execute(f"CREATE TABLE {sample} AS SELECT {selected} FROM {source} {_spread(rows, limit)}")
            return rows, False
    elif size > WHOLE_BYTES and part.format != "parquet":
        return _text_blocks(connection, part, sample, limit, size, selected), True
    else:
        found = connection.execute(f"SELECT count(*) FROM {scan}").fetchone()
        rows = found[0] if found else 0
        if rows > limit:
            numbered = f"(SELECT *, row_number() OVER () AS row_of_sample FROM {scan})"
            where = _blocks_where("row_of_sample - 1", rows, limit)
            connection.execute(
                f"CREATE TABLE {sample} AS SELECT * EXCLUDE (row_of_sample) FROM {numbered} WHERE {where}"
            )
            return rows, False
    connection.execute(f"CREATE TABLE {sample} AS SELECT * FROM {scan}")
    return rows, False


def _same_in_arrow(files: Sequence[Path]) -> bool:
    """Whether Arrow reads the columns and types that DuckDB reads: one schema, each name once, no spans of time."""
    schemas = [pq.read_schema(path) for path in files]
    names = {name.lower() for name in schemas[0].names}
    once = len(names) == len(schemas[0].names)
    spans = any(pa.types.is_duration(kind) for kind in schemas[0].types)
    return once and not spans and all(one.equals(schemas[0]) for one in schemas[1:])


def _is_view(connection: duckdb.DuckDBPyConnection, part: Part, sample: str) -> bool:
    """Whether a DuckDB file's table is a view, whose rows have no numbers."""
    database = f"db_{sample.removeprefix('sample_')}"
    found = connection.execute(
        "SELECT count(*) FROM duckdb_views() WHERE database_name = ? AND view_name = ?", [database, part.table]
    ).fetchone()
    return bool(found and found[0])


def _blocks(rows: int, limit: int) -> list[tuple[int, int]]:
    """First row and end of blocks spread over all rows, the first and the last rows among them."""
    each = limit // _BLOCKS
    starts = [round(i * (rows - each) / (_BLOCKS - 1)) for i in range(_BLOCKS)]
    return [(start, start + each) for start in starts]


def _blocks_where(number: str, rows: int, limit: int) -> str:
    return " OR ".join(f"({number} >= {start} AND {number} < {end})" for start, end in _blocks(rows, limit))


def _spread(rows: int, limit: int) -> str:
    return f"WHERE {_blocks_where('rowid', rows, limit)}"


def _parquet_blocks(files: Sequence[Path], rows: int, limit: int) -> pa.Table:
    """Blocks of rows, read from the row groups that hold them and from no others."""
    parts, first = [], 0
    wanted = _blocks(rows, limit)
    for path in files:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                overlap = [(max(a, first), min(b, first + count)) for a, b in wanted if a < first + count and b > first]
                if overlap:
                    table = file.read_row_group(group)
                    parts += [table.slice(a - first, b - a) for a, b in overlap]
                first += count
    return pa.concat_tables(parts, promote_options="permissive")


def _text_blocks(
    connection: duckdb.DuckDBPyConnection, part: Part, sample: str, limit: int, size: int, selected: str
) -> int:
    """The sample of a long text file: whole lines from places all along it, or the first of a packed one."""
    path = part.files[0]
    with path.open("rb") as file:
        start = file.read(4)
    packed = start.startswith(GZIP) or start == ZSTD
    dialect = part.dialect
    if packed or part.format == "json" or dialect is None or len(part.files) > 1:
        scan = scan_of(connection, replace(part, files=part.files[:1]), 0)
        connection.execute(f"CREATE TABLE {sample} AS SELECT {selected} FROM {scan} LIMIT {limit}")
        found = connection.execute(f"SELECT count(*) FROM {sample}").fetchone()
        return max(found[0] if found else 0, limit) * len(part.files) + 1
    import tempfile

    each = min(WHOLE_BYTES // _BLOCKS, 16 << 20)
    taken = lines = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "sample.csv"
        with path.open("rb") as source, copy.open("wb") as target:
            header = b"".join(source.readline() for _ in range(dialect.skip + dialect.header))
            target.write(header)
            for block in range(_BLOCKS):
                source.seek(len(header) + block * (size - len(header) - each) // (_BLOCKS - 1))
                if block:
                    source.readline()
                piece = source.read(each)
                piece = piece[: piece.rfind(b"\n") + 1]
                keep = piece.split(b"\n")[: limit // _BLOCKS]
                kept = b"\n".join(keep) + b"\n"
                target.write(kept)
                taken += len(kept)
                lines += len(keep)
        scan = csv_scan(f"[{quote_literal(str(copy))}]", dialect)
        connection.execute(f"CREATE TABLE {sample} AS SELECT * FROM {scan}")
    return math.ceil(size * lines / max(taken, 1))
