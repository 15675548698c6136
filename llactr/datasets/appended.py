"""Appended rows are data: what an ingest that replaces the tables would lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from llactr.columns import CREATED_TIMESTAMP
from llactr.datasets.sources import table_files
from llactr.errors import DataError
from llactr.manifest import read_manifest
from llactr.spec import DatasetSpec
from llactr.sql import connect, parquet_scan, quote_identifier
from llactr.workspace import Workspace

__all__ = ["Appended", "appended_to"]

_SPEC_OF_READING = ("description", "split")
"""Settings of a spec that change how tables are read, not what they hold; likewise of a field."""
_FIELD_OF_READING = (
    "description", "value_text", "min_count", "buckets", "bucket_count", "part", "max_values", "separator",
)  # fmt: skip


@dataclass(frozen=True)
class Appended:
    """Parts of a dataset's tables that came by appending.

    Attributes:
        dataset: the dataset's name.
        manifest: the dataset's.
        parts: table -> files.
    """

    dataset: str
    manifest: dict[str, Any]
    parts: dict[str, list[Path]]

    def same_tables(self, spec: DatasetSpec, inputs: Mapping[str, str]) -> bool:
        """Whether a spec would make the tables that are there, of the sources that they were made of."""
        known = _of_tables(self.manifest["config"])
        return self.manifest["inputs"] == dict(inputs) and known == _of_tables(spec.model_dump(mode="json"))

    def refuse_loss(self, tables: Mapping[str, list[Path]]) -> None:
        """Refuses new tables that lack rows which were appended to the old ones.

        Raises:
            DataError: says how many of which table, and what to do.
        """
        lost = {name: count for name, files in self.parts.items() if (count := _missing(files, tables.get(name, [])))}
        if lost:
            rows = ", ".join(f"{count:,} of {name}" for name, count in lost.items())
            raise DataError(
                f"dataset {self.dataset!r} holds appended rows that the sources lack ({rows}), and ingest would drop "
                "them: add them to the sources, append them again afterwards and pass --force now, or keep the spec as "
                "it was"
            )


def appended_to(workspace: Workspace, dataset: str) -> Appended | None:
    """What has been appended to a dataset; None where nothing has."""
    manifest = read_manifest(workspace.dataset(dataset))
    if manifest is None or not manifest.get("appended"):
        return None
    folder = workspace.offline_table(dataset, "events").parent
    parts = {name: table_files(folder / name)[1:] for name in ("events", "user", "item")}
    parts = {name: files for name, files in parts.items() if files}
    return Appended(dataset, manifest, parts) if parts else None


def _of_tables(spec: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: part for name, part in spec.items() if name not in _SPEC_OF_READING}
    kept["fields"] = [
        {name: part for name, part in field.items() if name not in _FIELD_OF_READING} for field in spec["fields"]
    ]
    return kept


def _missing(old: list[Path], new: list[Path]) -> int:
    """How many rows of some files others lack, by the columns that both have; when a row was written aside."""
    if not new:
        return sum(pq.read_metadata(path).num_rows for path in old)
    columns = set(pq.read_schema(old[0]).names) & set(pq.read_schema(new[0]).names) - {CREATED_TIMESTAMP}
    same = " AND ".join(
        f"CAST(old.{name} AS VARCHAR) IS NOT DISTINCT FROM CAST(new.{name} AS VARCHAR)"
        for name in map(quote_identifier, sorted(columns))
    )
    with connect() as connection:
        found = connection.execute(
            f"SELECT count(*) FROM {parquet_scan(old)} old "
            f"WHERE NOT EXISTS (SELECT 1 FROM {parquet_scan(new)} new WHERE {same})"
        ).fetchone()
    assert found is not None
    return int(found[0])
