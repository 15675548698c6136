"""Public datasets by recipe, and the way from any dataset's sources to the offline tables.

Names are loaded on first use: none of what they need is imported with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.datasets.append import append_offline_tables
    from llactr.datasets.base import RECIPES, Recipe, fetch
    from llactr.datasets.ingest import ingest_key, input_hashes, tables_stand, write_offline_tables
    from llactr.datasets.sources import read_source, source_files, table_files
    from llactr.datasets.summary import FieldSummary, IngestSummary

__all__ = [
    "RECIPES",
    "FieldSummary",
    "IngestSummary",
    "Recipe",
    "append_offline_tables",
    "fetch",
    "ingest_key",
    "input_hashes",
    "read_source",
    "source_files",
    "table_files",
    "tables_stand",
    "write_offline_tables",
]

__getattr__ = loader(
    __name__,
    {
        "FieldSummary": "summary",
        "IngestSummary": "summary",
        "RECIPES": "base",
        "Recipe": "base",
        "append_offline_tables": "append",
        "fetch": "base",
        "ingest_key": "ingest",
        "input_hashes": "ingest",
        "read_source": "sources",
        "source_files": "sources",
        "table_files": "sources",
        "tables_stand": "ingest",
        "write_offline_tables": "ingest",
    },
)
