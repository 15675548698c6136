"""Takes rows out of the online store: keys that have left the sources."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from feast import FeatureStore, FeatureView
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from llactr.store.keysets import KeySet

__all__ = ["forget_rows"]

_BATCH = 10_000


def forget_rows(store: FeatureStore, view: FeatureView, keys: KeySet) -> None:
    """Removes a view's rows of some keys: deleted on SQLite and Redis, overwritten with nulls on any other store."""
    names = keys.columns.column_names
    entity_keys = [
        EntityKey(join_keys=names, entity_values=[Value(string_val=value) for value in row]) for row in keys.rows()
    ]
    online: Any = store.provider.online_store
    versioned = store.config.registry.enable_online_feature_view_versioning
    for start in range(0, len(entity_keys), _BATCH):
        batch = entity_keys[start : start + _BATCH]
        if isinstance(online, WorkspaceSqliteOnlineStore):
            online.delete_rows(store.config, view, batch)
        elif store.config.online_store.type == "redis" and not versioned:
            _delete_from_redis(store, view, batch)
        else:
            now = datetime.now(UTC)
            nulls = {feature.name: Value() for feature in view.features}
            online.online_write_batch(store.config, view, [(key, nulls, now, now) for key in batch], None)


def _delete_from_redis(store: FeatureStore, view: FeatureView, keys: list[EntityKey]) -> None:
    online: Any = store.provider.online_store
    fields = [*(_mmh3(f"{view.name}:{feature.name}") for feature in view.features), f"_ts:{view.name}"]
    with online._get_client(store.config.online_store).pipeline(transaction=False) as pipeline:
        for key in keys:
            version = store.config.entity_key_serialization_version
            pipeline.hdel(_redis_key(store.config.project, key, entity_key_serialization_version=version), *fields)
        pipeline.execute()
