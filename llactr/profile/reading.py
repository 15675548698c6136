"""Opens a table of whatever kind as SQL, and takes a sample from all along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.errors import DataError
from llactr.profile.dialect import Dialect
from llactr.profile.files import Part, by_folder, name_of, parts_of_place, whole_tables
from llactr.profile.sampling import take_sample
from llactr.profile.scans import WHOLE_BYTES, csv_scan, scan_of
from llactr.sql import quote_identifier, quote_literal

__all__ = ["SAMPLE_ROWS", "Opened", "open_tables"]

SAMPLE_ROWS = 300_000
"""Rows that are looked at; of a longer table, blocks from all along it."""
_SAMPLE_CELLS = 30_000_000
_RECORDS = "parts of records are columns of their own"
_PARTITIONED = "the names of its folders hold a column"
_RENAMED = "two of its columns have one name"
_UNEVEN = "a line of it has more or fewer cells than it has names"
_SPANS = "it holds spans of time, which are written as numbers"
_DEEP = 4
_AROUND = 3
"""Columns beside a list of records, up to which the records are the rows that are meant."""
_RECORD_PARTS = 50
"""Records of more parts are taken for dictionaries of anything, and left alone."""


@dataclass(frozen=True)
class Opened:
    """A table that can be asked by SQL.

    Attributes:
        name: what a spec calls it: letters, digits and underscores.
        format: of its files.
        files: of one schema, in their order.
        scan: SQL that reads all of it; text files give text.
        columns: name -> DuckDB type.
        rows: of all of it; `estimated` where that was not counted.
        sampled: whether the sample is not all of it.
        sample: the name of the sample's table in the connection.
        dialect: of text files.
        table: of a DuckDB file.
        anew: why no spec can read it as it stands, beside what its format says; empty where one can.
        wide: whether it was made of a table in long form, and so tells of keys however many rows it has.
    """

    name: str
    format: str
    files: tuple[Path, ...]
    scan: str
    columns: dict[str, str]
    rows: int
    estimated: bool
    sampled: bool
    sample: str
    dialect: Dialect | None = None
    table: str | None = None
    anew: str = ""
    wide: bool = False

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.stat().st_size for path in self.files)


def open_tables(
    connection: duckdb.DuckDBPyConnection, places: Sequence[str], *, sample_rows: int = SAMPLE_ROWS
) -> list[Opened]:
    """Opens tables and takes their samples.

    Args:
        connection: gets the samples.
        places: Parquet, CSV (of any separator, plain, gzip or zstd) or JSON files, folders or globs of Parquet files,
            DuckDB files with or without `:table`. Files with the same columns are one table.
        sample_rows: at most so many rows of each are looked at.

    Returns:
        the tables in the order given.

    Raises:
        DataError: one is missing, empty, or of a format that cannot be read.
    """
    groups = whole_tables([part for place in places for part in parts_of_place(place)])
    found: list[Opened] = []
    for number, group in enumerate(groups):
        try:
            found.append(_opened(connection, group, number, {one.name for one in found}, sample_rows))
        except (duckdb.Error, pa.ArrowException, OSError, UnicodeError) as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise DataError(f"{group.files[0]} cannot be read as {group.format} ({reason}): check that it is whole, or "
                            "write it as Parquet") from None  # fmt: skip
    return found


def _opened(
    connection: duckdb.DuckDBPyConnection, part: Part, number: int, taken: set[str], sample_rows: int
) -> Opened:
    name = name_of(part, taken)
    scan = scan_of(connection, part, number)
    selected = "*"
    described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    if part.format == "json" and _one_list(described, "JSON[]"):
        part = replace(part, depth=_DEEP)
        scan = scan_of(connection, part, number)
        described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    unfolded = _one_list(described, ")[]")
    if unfolded or any(kind.startswith("STRUCT(") and kind.endswith(")") for _, kind, *_ in described):
        selected = _selected(connection, scan, unfolded)
        scan = f"(SELECT {selected} FROM {scan})"
        described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    columns = {row[0]: row[1] for row in described}
    limit = max(min(sample_rows, _SAMPLE_CELLS // max(len(columns), 1)), 1000)
    sample = f"sample_{number}"
    rows, estimated = take_sample(connection, part, scan, sample, limit, selected)
    count = connection.execute(f"SELECT count(*) FROM {sample}").fetchone()
    assert count is not None
    if unfolded and rows > limit:
        rows, estimated = round(rows * count[0] / limit), True
    if unfolded:
        anew = f"each record that {unfolded!r} lists is a row"
    elif selected != "*":
        anew = _RECORDS
    else:
        anew = _PARTITIONED if by_folder(part) else _read_otherwise(connection, part)
    return Opened(
        name=name, format=part.format, files=part.files, scan=scan, columns=columns, rows=max(rows, count[0]),
        estimated=estimated, sampled=count[0] < rows, sample=sample, dialect=part.dialect, table=part.table,
        anew=anew,
    )  # fmt: skip


def _read_otherwise(connection: duckdb.DuckDBPyConnection, part: Part) -> str:
    """Why a spec, which reads by Arrow, would find other columns or cells than DuckDB; empty where it would not."""
    if part.format == "csv" and part.dialect is not None and part.dialect.plain and len(part.files) == 1:
        return _UNEVEN if _uneven(connection, part) else ""
    if part.format != "parquet":
        return ""
    schema = pq.read_schema(part.files[0])
    if len({name.lower() for name in schema.names}) < len(schema.names):
        return _RENAMED
    return _SPANS if any(pa.types.is_duration(kind) for kind in schema.types) else ""


def _uneven(connection: duckdb.DuckDBPyConnection, part: Part) -> bool:
    """Whether a line has more or fewer cells than there are names; of a file too long to read twice, not looked at."""
    if part.files[0].stat().st_size > WHOLE_BYTES or part.dialect is None:
        return False
    scan = csv_scan(f"[{quote_literal(str(part.files[0]))}]", part.dialect, strict=True)
    try:
        connection.execute(f"SELECT count(*) FROM {scan}").fetchone()
    except duckdb.Error:
        return True
    return False


def _one_list(described: Sequence[tuple[str, ...]], ends: str) -> str:
    """The column that lists records, the rows that are meant, as a session's events; empty where none does.

    Args:
        described: (name, type) and more, of a table that has hardly another column.
        ends: of the type that such a column has.
    """
    lists = [name for name, kind, *_ in described if kind.endswith(ends)]
    return lists[0] if len(lists) == 1 and len(described) <= _AROUND + 1 else ""


def _selected(connection: duckdb.DuckDBPyConnection, scan: str, unfolded: str) -> str:
    """The columns as SQL: each part of a record is a column of its own, `user.id` is `user_id`."""
    relation = connection.sql(f"SELECT * FROM {scan} LIMIT 0")
    found: list[tuple[str, str]] = []
    for name, kind in zip(relation.columns, relation.types, strict=True):
        if name == unfolded:
            record = dict(kind.children)["child"]
            each = f"unnest({quote_identifier(name)})"
            found += [
                one
                for part, of in record.children
                for one in _parts_of(part, f"struct_extract({each}, {quote_literal(part)})", of)
            ]
        else:
            found += _parts_of(name, quote_identifier(name), kind)
    taken: set[str] = set()
    named = []
    for name, sql in found:
        while name.lower() in taken:
            name += "_2"
        taken.add(name.lower())
        named.append(f"{sql} AS {quote_identifier(name)}")
    return ", ".join(named)


def _parts_of(name: str, sql: str, kind: duckdb.sqltypes.DuckDBPyType) -> list[tuple[str, str]]:
    """(name, SQL) of the parts of a record, whatever lies in what; of any other column, of itself."""
    if kind.id != "struct" or len(kind.children) > _RECORD_PARTS:
        return [(name, sql)]
    return [
        one
        for part, of_part in kind.children
        for one in _parts_of(f"{name}_{part}", f"struct_extract({sql}, {quote_literal(part)})", of_part)
    ]
