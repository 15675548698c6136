"""Point-in-time joins by Spark, as a Feast offline store: `type: llactr.store.spark.AsofSparkOfflineStore`.

Needs the extra `[spark]` and a Java runtime; nothing else of llactr imports this package.
"""

from llactr.store.spark.offline_store import AsofSparkOfflineStore, AsofSparkOfflineStoreConfig

__all__ = ["AsofSparkOfflineStore", "AsofSparkOfflineStoreConfig"]
