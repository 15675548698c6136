"""Writing a stream of Arrow tables as Parquet: one file, or a directory of numbered ones; whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast.errors import SavedDatasetLocationAlreadyExists

from llactr.atomic import writing_file, writing_folder

__all__ = ["write_parquet"]


def write_parquet(
    tables: Iterable[pa.Table], schema: pa.Schema, target: Path, *, rows_per_file: int, overwrite: bool = False
) -> int:
    """Writes rows in their order: to the file `target` if its name ends in `.parquet`, else to files in a directory.

    The directory's files are called `part-00000.parquet`, ..., so that they sort in the order of their rows. Memory:
    one row group, which is one table of the stream. What was at `target` stays until the new rows are complete.

    Args:
        tables: the rows.
        schema: theirs; also that of a result without rows.
        target: where to.
        rows_per_file: a file is closed once it holds that many.
        overwrite: whether something may be at `target`.

    Returns:
        the number of rows.

    Raises:
        SavedDatasetLocationAlreadyExists: there is something, and it may not be overwritten.
    """
    if target.exists() and not overwrite:
        raise SavedDatasetLocationAlreadyExists(location=str(target))
    if target.suffix == ".parquet":
        with writing_file(target) as draft:
            return _write(tables, schema, draft, rows_per_file=None)
    with writing_folder(target) as draft:
        return _write(tables, schema, draft, rows_per_file=rows_per_file)


def _write(tables: Iterable[pa.Table], schema: pa.Schema, draft: Path, *, rows_per_file: int | None) -> int:
    def opened(number: int) -> pq.ParquetWriter:
        return pq.ParquetWriter(draft if rows_per_file is None else draft / f"part-{number:05d}.parquet", schema)

    number = total = in_file = 0
    writer = opened(0)
    try:
        for table in tables:
            if rows_per_file is not None and in_file >= rows_per_file:
                writer.close()
                number, in_file = number + 1, 0
                writer = opened(number)
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            total += table.num_rows
            in_file += table.num_rows
    finally:
        writer.close()
    return total
