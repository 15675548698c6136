"""Point-in-time joins by DuckDB ASOF, as a Feast offline store: `type: llactr.store.asof.AsofDuckDBOfflineStore`."""

from llactr.store.asof.offline_store import AsofDuckDBOfflineStore, AsofDuckDBOfflineStoreConfig

__all__ = ["AsofDuckDBOfflineStore", "AsofDuckDBOfflineStoreConfig"]
