"""Which files make a table, what kind they are, and how it is called."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.errors import DataError
from llactr.profile.dialect import Dialect, sniff
from llactr.sql import connect

__all__ = ["GZIP", "ZSTD", "Part", "by_folder", "name_of", "parts_of_place", "whole_tables"]

_HEAD = 1 << 18
_TEXTS = {".csv", ".tsv", ".json", ".jsonl", ".ndjson"}
_SHEETS = {".xlsx", ".xlsm", ".ods", ".numbers"}
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Part:
    """Files of one format and schema, before they are opened; of JSON, how deep its records are typed."""

    files: tuple[Path, ...]
    format: str
    columns: tuple[str, ...]
    dialect: Dialect | None = None
    table: str | None = None
    depth: int = 2


def parts_of_place(place: str) -> list[Part]:
    """Tables at a place: of a folder each kind of file, of a file one."""
    path = Path(place).expanduser()
    if path.is_dir():
        files = tuple(sorted(p for p in path.rglob("*.parquet") if not p.name.startswith(".")))
        if files:
            return [_part(files)]
        others = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith((".", "_"))]
        others = [p for p in others if _TEXTS & {suffix.lower() for suffix in p.suffixes}]
        if not others:
            raise DataError(f"the folder {path} holds no Parquet, CSV or JSON file: name the files of the tables")
        return [_part((one,)) for one in others]
    if path.exists():
        return [_part((path,))]
    head, colon, table = place.rpartition(":")
    if colon and Path(head).is_file():
        return [Part((Path(head),), "duckdb", (), table=table)]
    matches = tuple(sorted(p for p in Path().glob(place) if p.is_file())) if not path.is_absolute() else ()
    if path.is_absolute() and any(char in place for char in "*?["):
        matches = tuple(sorted(p for p in Path(path.anchor).glob(place[1:]) if p.is_file()))
    if not matches:
        raise DataError(f"there is no table at {place}: give Parquet, CSV, JSON or DuckDB files")
    parts = [_part((match,)) for match in matches]
    return [part for part in parts if part]


def _part(files: tuple[Path, ...]) -> Part:
    path = files[0]
    try:
        empty = path.stat().st_size == 0
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check that you may read it") from None
    if empty:
        raise DataError(f"{path} is empty")
    if start.startswith(b"PK\x03\x04") and path.suffix.lower() in _SHEETS:
        raise DataError(f"{path} is a workbook of sheets: save the sheet with the table as CSV")
    if start.startswith(b"PAR1"):
        try:
            return Part(files, "parquet", tuple(pq.read_schema(path).names))
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path} cannot be read as parquet ({reason}): check that it is whole") from None
    if start[8:12] == b"DUCK":
        return Part(files, "duckdb", ())
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
    try:
        text, encoding = _head(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path} cannot be unpacked ({reason}): check that it is whole") from None
    if re.match(r"\s*[\[{]\s*[\"{\]}]", text):
        return Part(files, "json", _json_names(text))
    if re.match(r"\s*\{u?'", text):
        raise DataError(
            f"{path} holds dictionaries as Python prints them, and no JSON: write them as JSON lines, by "
            "json.dumps(ast.literal_eval(line)) for each"
        )
    lines = text.splitlines()[:50]
    if lines and all(re.fullmatch(r"\S+( \d+:\S+)+\s*", line) for line in lines[:-1] or lines):
        raise DataError(f"{path} is LIBSVM, numbers of features without names: write a table with a column a field")
    blocks = [line for line in lines if re.fullmatch(r"\d+:", line.strip())]
    if blocks and lines[0] == blocks[0] and any("," in line for line in lines):
        raise DataError(
            f"{path} has lines such as {blocks[0]!r} between its rows, which say what the rows below belong to: write "
            "it into each row, as by awk -F: 'NF==2 {m=$1; next} {print m \",\" $0}'"
        )
    pairs = [line for line in lines if re.match(r"[\w-]+/[\w-]+: ", line)]
    if len(pairs) > 2 and 2 * len(pairs) > len(lines):
        raise DataError(
            f"{path} has a line for each value, such as {pairs[0][:40]!r}, and records apart by empty lines: write a "
            "record as one line of JSON"
        )
    dialect = sniff(text, encoding)
    return Part(files, "csv", dialect.names if dialect.header else (f"{len(dialect.names)} columns",), dialect)


def whole_tables(parts: Sequence[Part]) -> list[Part]:
    """Parts of one format, schema and dialect are one table; DuckDB files are one for each of their tables."""
    groups: list[Part] = []
    for part in parts:
        if part.format == "duckdb" and part.table is None:
            names = _tables_of(part.files[0])
            groups += [Part(part.files, "duckdb", (), table=name) for name in names]
            continue
        same = next((g for g in groups if g.format != "duckdb" and g.format == part.format and _alike(g, part)
                     and (g.dialect is None or part.dialect is None or (part.dialect.header and g.dialect.separator
                     == part.dialect.separator))), None)  # fmt: skip
        if same is None:
            groups.append(part)
        else:
            groups[groups.index(same)] = Part((*same.files, *part.files), same.format, same.columns, same.dialect)
    return groups


def _alike(one: Part, other: Part) -> bool:
    """Whether the columns are the same; Parquet and JSON are read by their names, in whatever order."""
    if one.format == "csv":
        return one.columns == other.columns
    return sorted(one.columns) == sorted(other.columns)


def _tables_of(path: Path) -> list[str]:
    try:
        with connect(path) as connection:
            found = connection.execute(
                "SELECT table_name, table_schema, table_schema = current_schema() FROM information_schema.tables "
                "ORDER BY 1"
            ).fetchall()
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise DataError(f"{path} cannot be opened by DuckDB ({reason}): close what writes it, or check that it is "
                        "whole") from None  # fmt: skip
    if not any(ours for *_, ours in found):
        elsewhere = ", ".join(f"{schema}.{name}" for name, schema, _ in found)
        raise DataError(f"{path} holds no table" + (f" in its schema main, but {elsewhere}: copy them there, or write "
                        "them as Parquet" if elsewhere else ""))  # fmt: skip
    return [name for name, _, ours in found if ours]


def by_folder(part: Part) -> bool:
    """Whether the names of the files' folders hold a column, `day=2024-05-31`, as Hive and Spark write them."""
    return part.format == "parquet" and all(re.search(r"[^/=]+=[^/=]*/[^/]+$", path.as_posix()) for path in part.files)


def name_of(part: Part, taken: set[str]) -> str:
    """A table's name, which no other has."""
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


def _head(path: Path) -> tuple[str, str]:
    """The first text of a file, unpacked, up to a line's end; and its encoding as DuckDB calls it."""
    with path.open("rb") as file:
        start = file.read(4)
    packed = "gzip" if start.startswith(GZIP) else "zstd" if start == ZSTD else None
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
