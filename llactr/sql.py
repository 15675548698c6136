"""The one place where names and paths become SQL text; values are bound as parameters instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb

__all__ = ["connect", "json_lines_scan", "object_scan", "parquet_scan", "quote_identifier", "quote_literal"]


def quote_identifier(name: str) -> str:
    """A column's or table's name as a DuckDB identifier, whatever characters it holds.

    Raises:
        ValueError: the name is empty or holds a NUL, which no quoting helps.
    """
    if not name or "\0" in name:
        raise ValueError(f"{name!r} cannot be an SQL name")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A text as an SQL literal, for the few places that take no parameter (COPY, ATTACH, SET)."""
    if "\0" in text:
        raise ValueError(f"{text!r} cannot be an SQL text")
    return "'" + text.replace("'", "''") + "'"


def parquet_scan(paths: Path | Iterable[Path], *, row_numbers: bool = False) -> str:
    """`read_parquet(...)` of exactly these files, in this order.

    `*`, `?` and `[` in a path are taken as they are, and a folder called `x=1` adds no column `x`.

    Args:
        paths: one file or several of one schema.
        row_numbers: adds the column `file_row_number`.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    listed = ", ".join(quote_literal(_without_globs(str(path))) for path in files)
    numbers = ", file_row_number = true" if row_numbers else ""
    return f"read_parquet([{listed}], hive_partitioning = false{numbers})"


def object_scan(places: Iterable[str]) -> str:
    """`read_parquet(...)` of exactly these objects, in this order; their names hold no pattern."""
    listed = ", ".join(quote_literal(place) for place in places)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def json_lines_scan(path: Path, columns: Mapping[str, str]) -> str:
    """`read_json(...)` of a file with one JSON object a line, plain or gzipped; a key that a line lacks is null.

    Args:
        path: exactly this file.
        columns: key -> DuckDB type; other keys are skipped.
    """
    types = ", ".join(f"{quote_literal(name)}: {quote_literal(kind)}" for name, kind in columns.items())
    file = quote_literal(_without_globs(str(path)))
    return f"read_json({file}, format = 'newline_delimited', columns = {{{types}}}, hive_partitioning = false)"


def connect(
    path: Path | None = None, *, memory_limit: str = "1GB", temporary: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that works in UTC, keeps the order of rows, loads no extension and stays within memory.

    Args:
        path: a database file, opened read-only and without any access to other files; by default one in memory.
        memory_limit: what DuckDB may hold before it spills.
        temporary: the folder it spills into.
    """
    config = {
        "memory_limit": memory_limit,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "preserve_insertion_order": "true",
    }
    if temporary is not None:
        config["temp_directory"] = str(temporary)
    if path is None:
        connection = duckdb.connect(":memory:", config=config)
    else:
        connection = duckdb.connect(str(path), read_only=True, config={**config, "enable_external_access": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _without_globs(path: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
