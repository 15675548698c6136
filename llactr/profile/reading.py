"""Opens a table of whatever kind as SQL, and takes a sample from all along it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.errors import DataError
from llactr.profile.dialect import Dialect, sniff
from llactr.sql import connect, parquet_scan, quote_identifier, quote_literal

__all__ = ["SAMPLE_ROWS", "Opened", "open_tables"]

SAMPLE_ROWS = 300_000
"""Rows that are looked at; of a longer table, blocks from all along it."""
_SAMPLE_CELLS = 30_000_000
_BLOCKS = 6
_HEAD = 1 << 18
_RECORDS = "parts of records are columns of their own"
_PARTITIONED = "the names of its folders hold a column"
_RECORD_PARTS = 50
"""Records of more parts are taken for dictionaries of anything, and left alone."""
_WHOLE_BYTES = 256 << 20
"""A text file up to this size is read whole for its sample."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


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
    groups = _grouped([part for place in places for part in _parts(place)])
    found: list[Opened] = []
    for number, group in enumerate(groups):
        try:
            found.append(_opened(connection, group, number, {one.name for one in found}, sample_rows))
        except (duckdb.Error, pa.ArrowException, OSError, UnicodeError) as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise DataError(f"{group.files[0]} cannot be read as {group.format} ({reason}): check that it is whole, or "
                            "write it as Parquet") from None  # fmt: skip
    return found


@dataclass(frozen=True)
class _Part:
    """Files of one format and schema, before they are opened."""

    files: tuple[Path, ...]
    format: str
    columns: tuple[str, ...]
    dialect: Dialect | None = None
    table: str | None = None


def _parts(place: str) -> list[_Part]:
    path = Path(place).expanduser()
    if path.is_dir():
        files = tuple(sorted(p for p in path.rglob("*.parquet") if not p.name.startswith(".")))
        if not files:
            raise DataError(f"the folder {path} holds no .parquet file: name the files of the tables")
        return [_part(files)]
    if path.exists():
        return [_part((path,))]
    head, colon, table = place.rpartition(":")
    if colon and Path(head).is_file():
        return [_Part((Path(head),), "duckdb", (), table=table)]
    matches = tuple(sorted(p for p in Path().glob(place) if p.is_file())) if not path.is_absolute() else ()
    if path.is_absolute() and any(char in place for char in "*?["):
        matches = tuple(sorted(p for p in Path(path.anchor).glob(place[1:]) if p.is_file()))
    if not matches:
        raise DataError(f"there is no table at {place}: give Parquet, CSV, JSON or DuckDB files")
    parts = [_part((match,)) for match in matches]
    return [part for part in parts if part]


def _part(files: tuple[Path, ...]) -> _Part:
    path = files[0]
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PAR1"):
        try:
            return _Part(files, "parquet", tuple(pq.read_schema(path).names))
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path} cannot be read as parquet ({reason}): check that it is whole") from None
    if start[8:12] == b"DUCK":
        return _Part(files, "duckdb", ())
    for magic, what in {
        b"PK\x03\x04": "a ZIP archive: unpack it", b"\xfd7zXZ": "compressed by xz: unpack it, or compress it by gzip",
        b"BZh": "compressed by bzip2: unpack it, or compress it by gzip",
        b"\x04\x22\x4d\x18": "compressed by lz4: unpack it, or compress it by gzip",
        b"SQLite format 3": "an SQLite file: export the table as Parquet or CSV",
        b"\xd0\xcf\x11\xe0": "an Excel file: save the sheet as CSV",
        b"ARROW1": "an Arrow (Feather) file: write it as Parquet",
        b"ORC": "an ORC file: write it as Parquet",
        b"Obj\x01": "an Avro file: write it as Parquet",
        b"\x89HDF": "an HDF5 file: write the table as Parquet",
        b"\x93NUMPY": "a NumPy array without names of columns: write it as Parquet",
        b"\x80\x04": "a Python pickle, which runs code when it is read: write the table as Parquet",
        b"\x80\x05": "a Python pickle, which runs code when it is read: write the table as Parquet",
    }.items():  # fmt: skip
        if start.startswith(magic):
            raise DataError(f"{path} is {what}")
    text, encoding = _head(path)
    if re.match(r"\s*[\[{]\s*[\"{\]}]", text):
        return _Part(files, "json", _json_names(text))
    lines = text.splitlines()[:50]
    if lines and all(re.fullmatch(r"\S+( \d+:\S+)+\s*", line) for line in lines[:-1] or lines):
        raise DataError(f"{path} is LIBSVM, numbers of features without names: write a table with a column a field")
    dialect = sniff(text, encoding)
    return _Part(files, "csv", dialect.names if dialect.header else (f"{len(dialect.names)} columns",), dialect)


def _grouped(parts: Sequence[_Part]) -> list[_Part]:
    """Parts of one format, schema and dialect are one table; DuckDB files are one for each of their tables."""
    groups: list[_Part] = []
    for part in parts:
        if part.format == "duckdb" and part.table is None:
            with connect(part.files[0]) as connection:
                names = [row[0] for row in connection.execute(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"
                ).fetchall()]  # fmt: skip
            if not names:
                raise DataError(f"{part.files[0]} holds no table")
            groups += [_Part(part.files, "duckdb", (), table=name) for name in names]
            continue
        same = next((g for g in groups if g.format != "duckdb" and (g.format, g.columns) == (part.format, part.columns)
                     and (g.dialect is None or part.dialect is None or (part.dialect.header and g.dialect.separator
                     == part.dialect.separator))), None)  # fmt: skip
        if same is None:
            groups.append(part)
        else:
            groups[groups.index(same)] = _Part((*same.files, *part.files), same.format, same.columns, same.dialect)
    return groups


def _opened(
    connection: duckdb.DuckDBPyConnection, part: _Part, number: int, taken: set[str], sample_rows: int
) -> Opened:
    name = _name(part, taken)
    scan = _scan(connection, part, number)
    selected = "*"
    described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    if any(kind.startswith("STRUCT(") and kind.endswith(")") for _, kind, *_ in described):
        selected = _selected(connection, scan)
        scan = f"(SELECT {selected} FROM {scan})"
        described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    columns = {row[0]: row[1] for row in described}
    limit = max(min(sample_rows, _SAMPLE_CELLS // max(len(columns), 1)), 1000)
    sample = f"sample_{number}"
    rows, estimated = _sample(connection, part, scan, sample, limit, selected)
    count = connection.execute(f"SELECT count(*) FROM {sample}").fetchone()
    assert count is not None
    return Opened(
        name=name, format=part.format, files=part.files, scan=scan, columns=columns, rows=max(rows, count[0]),
        estimated=estimated, sampled=count[0] < rows, sample=sample, dialect=part.dialect, table=part.table,
        anew=_RECORDS if selected != "*" else _PARTITIONED if _by_folder(part) else "",
    )  # fmt: skip


def _by_folder(part: _Part) -> bool:
    """Whether the names of the files' folders hold a column, `day=2024-05-31`, as Hive and Spark write them."""
    return part.format == "parquet" and all(re.search(r"[^/=]+=[^/=]*/[^/]+$", path.as_posix()) for path in part.files)


def _selected(connection: duckdb.DuckDBPyConnection, scan: str) -> str:
    """The columns as SQL: each part of a record is a column of its own, `user.id` is `user_id`."""
    relation = connection.sql(f"SELECT * FROM {scan} LIMIT 0")
    found: list[tuple[str, str]] = []
    for name, kind in zip(relation.columns, relation.types, strict=True):
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


def _name(part: _Part, taken: set[str]) -> str:
    stem = part.table or part.files[0].name.split(".")[0]
    if len(part.files) > 1 and part.table is None:
        names = [path.name.split(".")[0] for path in part.files]
        same = [
            a
            for a, *rest in zip(*(re.split(r"[-_]", n)[::-1] for n in names), strict=False)
            if all(a == b for b in rest)
        ]
        stem = "_".join(part for part in same[::-1] if not part.isdigit()) or names[0]
    name = re.sub(r"\W+", "_", stem).strip("_").lower() or "table"
    return name if name not in taken else f"{name}_{len(taken) + 1}"


def _scan(connection: duckdb.DuckDBPyConnection, part: _Part, number: int) -> str:
    if _by_folder(part):
        return _union_by_name(parquet_scan(part.files).replace("hive_partitioning = false", "hive_partitioning = true"))
    if part.format == "parquet":
        return parquet_scan(part.files) if len(part.files) == 1 else _union_by_name(parquet_scan(part.files))
    if part.format == "duckdb":
        alias = f"db_{number}"
        connection.execute(f"ATTACH {quote_literal(str(part.files[0].absolute()))} AS {alias} (READ_ONLY)")
        return f"{alias}.{quote_identifier(part.table or '')}"
    files = "[" + ", ".join(quote_literal(str(path)) for path in part.files) + "]"
    if part.format == "json":
        size = sum(path.stat().st_size for path in part.files)
        rows = -1 if size < _WHOLE_BYTES else 500_000
        return (
            f"read_json({files}, sample_size = {rows}, maximum_depth = 2, hive_partitioning = false, union_by_name ="
            " true)"
        )
    return _csv_scan(files, part.dialect or Dialect())


def _union_by_name(scan: str) -> str:
    return f"{scan[:-1]}, union_by_name = true)"


def _csv_scan(files: str, dialect: Dialect) -> str:
    columns = ", ".join(f"{quote_literal(name)}: 'VARCHAR'" for name in dialect.names)
    quote = '"' if dialect.quote is None else dialect.quote
    settings = [
        f"delim = {quote_literal(dialect.separator)}", f"quote = {quote_literal(quote)}",
        f"escape = {quote_literal(quote)}",
        f"header = {str(dialect.header).lower()}", f"columns = {{{columns}}}", "auto_detect = false",
        "strict_mode = false",
        "ignore_errors = true", "null_padding = true", "parallel = false", "max_line_size = 16000000", "nullstr = ''",
        "hive_partitioning = false",
    ]  # fmt: skip
    if dialect.encoding != "utf-8":
        settings.append(f"encoding = {quote_literal(dialect.encoding)}")
    return f"read_csv({files}, {', '.join(settings)})"


def _sample(
    connection: duckdb.DuckDBPyConnection, part: _Part, scan: str, sample: str, limit: int, selected: str
) -> tuple[int, bool]:
    """Makes the table of the sample; returns the table's rows, and whether that is an estimate."""
    size = sum(path.stat().st_size for path in part.files)
    if part.format == "parquet" and not _by_folder(part):
        rows = sum(pq.read_metadata(path).num_rows for path in part.files)
        if rows > limit:
            connection.register("blocks_of_rows", _parquet_blocks(part.files, rows, limit))
            connection.execute(f"CREATE TABLE {sample} AS SELECT {selected} FROM blocks_of_rows")
            connection.unregister("blocks_of_rows")
            return rows, False
    elif part.format == "duckdb":
        found = connection.execute(f"SELECT count(*) FROM {scan}").fetchone()
        rows = found[0] if found else 0
        if rows > limit:
            source = (
                f"db_{sample.removeprefix('sample_')}.{quote_identifier(part.table or '')}"  # which has row numbers
            )
            connection.execute(f"CREATE TABLE {sample} AS SELECT {selected} FROM {source} {_spread(rows, limit)}")
            return rows, False
    elif size > _WHOLE_BYTES and part.format != "parquet":
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
    connection: duckdb.DuckDBPyConnection, part: _Part, sample: str, limit: int, size: int, selected: str
) -> int:
    """The sample of a long text file: whole lines from places all along it, or the first of a packed one."""
    path = part.files[0]
    with path.open("rb") as file:
        start = file.read(4)
    packed = start.startswith(_GZIP) or start == _ZSTD
    dialect = part.dialect
    if packed or part.format == "json" or dialect is None or len(part.files) > 1:
        scan = _scan(connection, _Part(part.files[:1], part.format, part.columns, dialect), 0)
        connection.execute(f"CREATE TABLE {sample} AS SELECT {selected} FROM {scan} LIMIT {limit}")
        found = connection.execute(f"SELECT count(*) FROM {sample}").fetchone()
        return max(found[0] if found else 0, limit) * len(part.files) + 1
    import tempfile

    each = min(_WHOLE_BYTES // _BLOCKS, 16 << 20)
    taken = lines = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "sample.csv"
        with path.open("rb") as source, copy.open("wb") as target:
            header = source.readline() if dialect.header else b""
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
        scan = _csv_scan(f"[{quote_literal(str(copy))}]", dialect)
        connection.execute(f"CREATE TABLE {sample} AS SELECT * FROM {scan}")
    return math.ceil(size * lines / max(taken, 1))


def _head(path: Path) -> tuple[str, str]:
    """The first text of a file, unpacked, up to a line's end; and its encoding as DuckDB calls it."""
    with path.open("rb") as file:
        start = file.read(4)
    packed = "gzip" if start.startswith(_GZIP) else "zstd" if start == _ZSTD else None
    with pa.input_stream(str(path), compression=packed) as stream:
        data = stream.read(_HEAD)
        more = len(data) == _HEAD
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="ignore"), "utf-16"
    if more:
        data = data[: data.rfind(b"\n") + 1] or data
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"
    if more or packed:
        return text, "utf-8" if more and _whole_is_utf8(path, packed) else "utf-8" if not more else "latin-1"
    return text, "utf-8"


def _whole_is_utf8(path: Path, packed: str | None) -> bool:
    """Whether the next 64 MB are UTF-8 too: the first letter with an accent may come late."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with pa.input_stream(str(path), compression=packed) as stream:
            for _ in range(64):
                piece = stream.read(1 << 20)
                if not piece:
                    break
                decoder.decode(piece)
    except UnicodeDecodeError:
        return False
    return True


def _json_names(text: str) -> tuple[str, ...]:
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            return tuple(row)
    return ()
