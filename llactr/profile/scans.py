"""A table's files as SQL of DuckDB."""

from __future__ import annotations

import duckdb

from llactr.profile.dialect import Dialect
from llactr.profile.files import Part, by_folder
from llactr.sql import parquet_scan, quote_identifier, quote_literal

__all__ = ["WHOLE_BYTES", "csv_scan", "scan_of"]

WHOLE_BYTES = 256 << 20
"""A text file up to this size is read whole for its sample."""


def scan_of(connection: duckdb.DuckDBPyConnection, part: Part, number: int) -> str:
    """What stands behind FROM for a table's files."""
    if by_folder(part):
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
        rows = -1 if size < WHOLE_BYTES else 500_000
        return (
            f"read_json({files}, sample_size = {rows}, maximum_depth = {part.depth}, hive_partitioning = false, "
            "union_by_name = true)"
        )
    return csv_scan(files, part.dialect or Dialect())


def _union_by_name(scan: str) -> str:
    return f"{scan[:-1]}, union_by_name = true)"


def csv_scan(files: str, dialect: Dialect, *, strict: bool = False) -> str:
    """The same of text files, by their dialect; all columns are text. `strict` fails at lines of other cells."""
    columns = ", ".join(f"{quote_literal(name)}: 'VARCHAR'" for name in dialect.names)
    lenient = str(not strict).lower()
    quote = '"' if dialect.quote is None else dialect.quote
    settings = [
        f"delim = {quote_literal(dialect.separator)}", f"quote = {quote_literal(quote)}",
        f"escape = {quote_literal(dialect.escape or quote)}",
        f"header = {str(dialect.header).lower()}", f"columns = {{{columns}}}", "auto_detect = false",
        f"strict_mode = {str(strict).lower()}",
        f"ignore_errors = {lenient}", f"null_padding = {lenient}",
        "parallel = false", "max_line_size = 16000000", "nullstr = ''",
        "hive_partitioning = false",
    ]  # fmt: skip
    if dialect.skip:
        settings.append(f"skip = {dialect.skip}")
    if dialect.encoding != "utf-8":
        settings.append(f"encoding = {quote_literal(dialect.encoding)}")
    return f"read_csv({files}, {', '.join(settings)})"
