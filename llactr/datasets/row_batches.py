"""Rows to score from a file or a query, a batch at a time: what is larger than memory passes through.

A batch has the columns of its source, in the spelling that ingest gives them: text of a CSV file stays text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.datasets.rows import csv_rows, file_kind, read_rows
from llactr.errors import DataError, InputError
from llactr.spec import DatasetSpec

__all__ = ["RowSource"]


class RowSource:
    """Where rows to score come from.

    Args:
        spec: the dataset's.
        path: a file of rows (.parquet, .csv, .csv.gz, .json, .jsonl), a folder of Parquet files, or, with `sql`, a
            DuckDB database; None for a query over files that it names itself.
        sql: a query of DuckDB, such as `SELECT * FROM 'rows/*.parquet' WHERE day = '2026-01-31'`.

    Raises:
        InputError: neither is given.
        DataError: there is no such file, or it is of another kind.
    """

    def __init__(self, spec: DatasetSpec, path: Path | None, sql: str | None = None) -> None:
        self._spec, self._path, self._sql = spec, path, sql
        if path is None and sql is None:
            raise InputError("give the rows to score: a file, or --sql with a query")
        if path is not None and not path.exists():
            raise DataError(
                f"no file {path}: give a .parquet, .csv, .json or .jsonl file of rows, or a folder of Parquet"
            )

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "the query" if self._sql is not None else str(self._path)

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """Tables of at most `rows` rows, in the order of the source; none for a source without rows.

        Raises:
            DataError: the source cannot be read.
        """
        try:
            for table in self._read(rows):
                for start in range(0, table.num_rows, rows):
                    yield table.slice(start, rows)
        except (OSError, UnicodeDecodeError, pa.ArrowException, duckdb.Error) as error:
            said = str(error).strip().splitlines()[0]
            raise DataError(f"{self.name} cannot be read ({said}): mend it, or write it again") from None

    def table(self) -> pa.Table:
        """All rows at once.

        Raises:
            DataError: the source cannot be read, or holds no rows.
        """
        found = list(self.batches(1 << 20))
        if not found:
            raise DataError(f"{self.name} holds no rows: give some")
        return pa.concat_tables(found)

    def _read(self, rows: int) -> Iterator[pa.Table]:
        if self._sql is not None:
            yield from self._of_query(self._sql, rows)
            return
        assert self._path is not None
        if self._path.is_dir():
            files = sorted(self._path.rglob("*.parquet"))
            if not files:
                raise DataError(f"{self._path} holds no .parquet file: give a folder that does")
            for file in files:
                yield from self._of_parquet(file, rows)
        elif file_kind(self._path) == ".parquet":
            yield from self._of_parquet(self._path, rows)
        elif file_kind(self._path) == ".csv":
            yield from self._of_csv(self._path, rows)
        else:
            yield read_rows(self._spec, [], self._path)

    def _of_parquet(self, path: Path, rows: int) -> Iterator[pa.Table]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                yield pa.Table.from_batches([batch])

    def _of_csv(self, path: Path, rows: int) -> Iterator[pa.Table]:
        held: list[pa.RecordBatch] = []
        for batch in csv_rows(self._spec, path):
            held.append(batch)
            if sum(map(len, held)) >= rows:
                yield pa.Table.from_batches(held)
                held = []
        if held:
            yield pa.Table.from_batches(held)

    def _of_query(self, sql: str, rows: int) -> Iterator[pa.Table]:
        place = ":memory:" if self._path is None else str(self._path)
        with closing(duckdb.connect(place, read_only=self._path is not None)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for batch in connection.execute(sql).to_arrow_reader(rows):
                yield pa.Table.from_batches([batch])
