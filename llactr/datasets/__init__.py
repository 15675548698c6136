"""Public datasets by recipe, and the way from any dataset's sources to the offline tables."""

from llactr.datasets.append import append_offline_tables
from llactr.datasets.base import RECIPES, Recipe, fetch
from llactr.datasets.ingest import ingest_key, input_hashes, table_files, write_offline_tables
from llactr.datasets.sources import read_source, source_files
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
    "write_offline_tables",
]
