"""Offline tables: directories of Parquet files that grow by new files, each of which appears whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llactr import atomic
from llactr.columns import (
    CREATED_TIMESTAMP,
    DATASET,
    DESCRIPTION,
    ENCODER,
    EVENT_TIMESTAMP,
    FIELD,
    KEY,
    SEMANTICS_VERSION,
    TEXT,
    TIMESTAMP,
    VALUE,
    VECTOR,
    VECTOR_TYPE,
)
from llactr.errors import DataError, NotReadyError
from llactr.workspace import Workspace

__all__ = [
    "FIELD_SEMANTICS",
    "SEMANTICS_RELEASE",
    "SEMANTICS_SCHEMAS",
    "VALUE_SEMANTICS",
    "add_file",
    "create_tables",
    "read_files",
    "value_files",
    "vectors_path",
]

FIELD_SEMANTICS = "field_semantics"
SEMANTICS_RELEASE = "semantics_release"
VALUE_SEMANTICS = "value_semantics"

SEMANTICS_SCHEMAS = {
    FIELD_SEMANTICS: pa.schema(
        {
            DATASET: KEY,
            FIELD: KEY,
            SEMANTICS_VERSION: KEY,
            VECTOR: VECTOR_TYPE,
            DESCRIPTION: KEY,
            ENCODER: KEY,
            EVENT_TIMESTAMP: TIMESTAMP,
            CREATED_TIMESTAMP: TIMESTAMP,
        }
    ),
    SEMANTICS_RELEASE: pa.schema(
        {
            DATASET: KEY,
            SEMANTICS_VERSION: KEY,
            EVENT_TIMESTAMP: TIMESTAMP,
            CREATED_TIMESTAMP: TIMESTAMP,
        }
    ),
    VALUE_SEMANTICS: pa.schema(
        {
            DATASET: KEY,
            FIELD: KEY,
            VALUE: KEY,
            SEMANTICS_VERSION: KEY,
            VECTOR: VECTOR_TYPE,
            TEXT: KEY,
            ENCODER: KEY,
            EVENT_TIMESTAMP: TIMESTAMP,
            CREATED_TIMESTAMP: TIMESTAMP,
        }
    ),
}
"""Columns of the tables that all datasets share."""


def create_tables(workspace: Workspace) -> None:
    """Makes the semantics tables, empty, where they are missing: a view over no file at all cannot be read."""
    for name, schema in SEMANTICS_SCHEMAS.items():
        add_file(workspace.semantics_table(name) / "00-empty.parquet", schema.empty_table())


def add_file(path: Path, table: pa.Table) -> bool:
    """Adds a file to an offline table, unless there is one of that name.

    Readers see all of it or nothing, and of two writers of one name exactly one wins.

    Returns:
        whether this call added it.
    """
    return atomic.add_file(path, lambda draft: pq.write_table(table, draft))


def read_files(directory: Path, *, schema: pa.Schema | None = None, first_run: str) -> pa.Table:
    """All rows of an offline table: files in the order of their names, rows in the order of each file.

    Args:
        directory: the table.
        schema: the columns to read and their types; all columns of the first file by default.
        first_run: the command that makes the table.

    Raises:
        NotReadyError: there is no such table.
        DataError: a file is damaged, or lacks a column.
    """
    paths = sorted(directory.glob("*.parquet"))
    if not paths:
        raise NotReadyError(f"there is no table {directory}: run '{first_run}' first")
    pieces = []
    for path in paths:
        try:
            piece = pq.read_table(path, columns=schema.names if schema else None, partitioning=None)
            pieces.append(piece.select(schema.names).cast(schema) if schema else piece)
        except (pa.ArrowException, OSError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"the offline table's file {path} cannot be read ({reason}): run '{first_run} --force'"
            ) from None
    return pa.concat_tables(pieces)


def vectors_path(workspace: Workspace, dataset: str, version: str) -> Path:
    """The file of one version's vectors."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", version):
        raise DataError(f"semantics version {version!r} is no content hash: expected letters, digits, '_', '.' or '-'")
    return workspace.semantics_table(FIELD_SEMANTICS) / f"{dataset}@{version}.parquet"


def value_files(workspace: Workspace, dataset: str, version: str) -> list[Path]:
    """The files that hold a version's vectors, oldest first."""
    vectors_path(workspace, dataset, version)  # refuses what is no version
    return sorted(workspace.semantics_table(VALUE_SEMANTICS).glob(f"{dataset}@{version}@*.parquet"))
