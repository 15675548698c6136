"""Spark in a Feast repository, both with the rows of the DuckDB stores.

Joins are `type: llactr.store.spark.AsofSparkOfflineStore`, materialization by executors is
`type: llactr.store.spark.MarkingSparkComputeEngine`. Needs the extra `[spark]` and a Java runtime; nothing else of
llactr imports this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.store.spark.engine import MarkingSparkComputeEngine, MarkingSparkComputeEngineConfig
    from llactr.store.spark.offline_store import AsofSparkOfflineStore, AsofSparkOfflineStoreConfig

__all__ = [
    "AsofSparkOfflineStore",
    "AsofSparkOfflineStoreConfig",
    "MarkingSparkComputeEngine",
    "MarkingSparkComputeEngineConfig",
]

__getattr__ = loader(
    __name__,
    {
        "AsofSparkOfflineStore": "offline_store",
        "AsofSparkOfflineStoreConfig": "offline_store",
        "MarkingSparkComputeEngine": "engine",
        "MarkingSparkComputeEngineConfig": "engine",
    },
)
