"""Which states are meant: those of the online store that is configured."""

from __future__ import annotations

from feast import FeatureStore

from llactr.errors import NotReadyError
from llactr.spec import DatasetSpec
from llactr.store.events.base import StateStore
from llactr.store.events.redis import RedisStates
from llactr.store.events.redis_cluster import RedisClusterStates
from llactr.store.events.sqlite import SqliteStates

__all__ = ["state_store"]


def state_store(store: FeatureStore, spec: DatasetSpec) -> StateStore:
    """The states of a dataset in the online store that is configured.

    Raises:
        NotReadyError: it is neither the workspace's SQLite nor Redis, a single one or a cluster.
    """
    for kind in (SqliteStates, RedisStates, RedisClusterStates):
        if kind.holds(store):
            return kind(store, spec)
    raise NotReadyError(
        f"the online store {store.config.online_store.type!r} cannot take events: states and the log's position "
        "change together, which is there for SQLite, for a single Redis and for a Redis cluster"
    )
