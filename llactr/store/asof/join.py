"""A point-in-time join from end to end: entity rows, one match per view, then features gathered batch by batch."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llactr.sql import quote_identifier
from llactr.store.asof.entities import EntityRows
from llactr.store.asof.features import ViewTable, load_view
from llactr.store.asof.match import KeyCodes, matching_rows
from llactr.store.asof.plan import ViewPlan, refuse_ambiguous_columns
from llactr.store.asof.source import open_source

__all__ = ["Joined", "Limits", "join"]

_GATHERED_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Limits:
    """What a join may use of the machine; None leaves it to DuckDB."""

    memory_bytes: int | None = None
    threads: int | None = None
    temp_directory: Path | None = None

    @property
    def resident_bytes(self) -> int | None:
        """What feature columns may take outside DuckDB: a quarter of the memory; the rest is DuckDB's."""
        return None if self.memory_bytes is None else self.memory_bytes // 4

    @contextlib.contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database in memory that works in UTC, spills to a folder of its own, and is gone after the block."""
        if self.temp_directory is not None:
            self.temp_directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="llactr-asof-", dir=self.temp_directory) as spill:
            config: dict[str, Any] = {"temp_directory": spill, "python_enable_replacements": "false"}
            if self.memory_bytes is not None:
                config["memory_limit"] = f"{self.memory_bytes * 3 // 4 // 1024}KiB"
            if self.threads is not None:
                config["threads"] = str(self.threads)
            connection = duckdb.connect(":memory:", config=config)
            try:
                connection.execute("SET TimeZone = 'UTC'")
                # DuckDB takes an Arrow table for a small one, and small ones it would join in quadratic time.
                connection.execute("SET asof_loop_join_threshold = 0")
                yield connection
            finally:
                connection.close()


@dataclass(frozen=True)
class Joined:
    """Entity rows, and for each view the number of the row that each of them sees."""

    entities: EntityRows
    matches: tuple[tuple[ViewPlan, ViewTable, npt.NDArray[np.integer[Any]]], ...]

    @cached_property
    def schema(self) -> pa.Schema:
        """The entity rows' columns as they came, then the features, view by view."""
        fields = list(self.entities.schema)
        for plan, view, _ in self.matches:
            fields += [pa.field(shown, kind) for (_, shown), kind in zip(plan.features, view.types, strict=True)]
        return pa.schema(fields)

    def tables(self, rows: int) -> Iterator[pa.Table]:
        """The result in the order of the entity rows, at most `rows` at a time."""
        start = 0
        for part in self.entities.batches(self._rows_at_a_time(rows)):
            columns = list(part.columns)
            for _, view, found in self.matches:
                columns += view.take(found[start : start + part.num_rows])
            start += part.num_rows
            table = pa.Table.from_arrays(columns, schema=self.schema)
            for first in range(0, table.num_rows, rows):
                yield table.slice(first, rows)

    def _rows_at_a_time(self, rows: int) -> int:
        """How many rows to gather at once: fewer than `rows` where vectors make them wide, more where views spilled."""
        row_bytes = 8 * len(self.entities.schema) + sum(view.row_bytes for _, view, _ in self.matches)
        affordable = int(_GATHERED_BYTES / row_bytes) + 1
        wanted = max((view.rows_per_take for _, view, _ in self.matches), default=0)
        return min(max(rows, wanted), affordable)


def join(
    connection: duckdb.DuckDBPyConnection,
    entities: EntityRows,
    plans: Sequence[ViewPlan],
    *,
    resident_bytes: int | None,
    repo_path: Path | None,
) -> Joined:
    """Matches entity rows to every view. Memory: 4 bytes per entity row and view, and the views' rows that may be seen.

    Args:
        connection: where the entity rows are.
        entities: the rows.
        plans: what to join, in the order of the result's columns.
        resident_bytes: what all views' rows may take in memory before they go to DuckDB.
        repo_path: where relative paths of sources start.

    Raises:
        DataError: a column is missing, of the wrong type, or has a name that another one has.
        NotReadyError: a source has no file.
    """
    refuse_ambiguous_columns(entities.schema.names, plans)
    codes = KeyCodes(connection, entities)
    matches = []
    for plan in plans:
        source = open_source(connection, plan.source, repo_path)
        features = [f"feature{i}" for i in range(len(plan.features))]
        columns = [
            f"source.{source.quoted(column)} AS {quote_identifier(name)}"
            for (column, _), name in zip(plan.features, features, strict=True)
        ]
        query = codes.view_codes(plan, source, columns)
        view, used_bytes = load_view(connection, query, features, budget_bytes=resident_bytes)
        if resident_bytes is not None:
            resident_bytes -= used_bytes
        found = matching_rows(
            connection, plan, entities=codes.entity_codes(plan, source), view=view, count=entities.count
        )
        view.forget_keys()
        matches.append((plan, view, found))
    return Joined(entities, tuple(matches))
