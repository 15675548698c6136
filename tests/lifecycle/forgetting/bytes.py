"""Whether a text is anywhere in a folder: in the bytes of any file, and in what files hold compressed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast.protos.feast.types.Value_pb2 import Value

__all__ = ["places_of"]


def places_of(text: str, root: Path) -> list[str]:
    """The files that hold a text, relative to a folder, drafts and hidden files included; names count too."""
    needle = text.encode()
    found = []
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if text in name:
            found.append(f"{name} (its name)")
        if path.is_file() and any(needle in content for content in _contents(path)):
            found.append(name)
    return found


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield str(pq.ParquetFile(path).read().to_pydict()).encode()
    if path.suffix == ".db" and path.read_bytes()[:6] == b"SQLite":
        yield from _database(path)


def _database(path: Path) -> Iterator[bytes]:
    """Cells, and tables of keys that are packed in them."""
    connection = sqlite3.connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for row in connection.execute(f'SELECT * FROM "{name}"'):
            for cell in row:
                if not isinstance(cell, bytes):
                    yield str(cell).encode()
                    continue
                yield cell
                packed = _packed(cell)
                if packed:
                    yield str(pa.ipc.open_stream(packed).read_all().to_pydict()).encode()
    connection.close()


def _packed(cell: bytes) -> bytes:
    value = Value()
    try:
        value.ParseFromString(cell)
    except Exception:
        return b""
    content: bytes = value.bytes_val
    return content if content[:4] == b"\xff\xff\xff\xff" else b""
