"""The narrow door to the online store: some keys of some views in, serialized values out, or StoreAway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from feast import FeatureStore

from llactr.errors import StoreError
from llactr.serving.views import Row, ViewRead, presence_key
from llactr.spec import DatasetSpec
from llactr.store.feast.open import open_store
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from llactr.workspace import Workspace

__all__ = ["StoreAwayError", "StoreReader", "open_reader"]


class StoreAwayError(StoreError):
    """The online store does not answer, or has lost what the bundle needs; it may be back in a moment."""


class StoreReader(Protocol):
    """Reads rows of views. One reader serves one event loop."""

    async def connect(self) -> None:
        """Connects and checks that the store holds what the bundle needs.

        Raises:
            StoreAwayError: it does not answer, or was emptied.
        """

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """One batch per view: for each (view, keys) the rows, in the order of the keys.

        Raises:
            StoreAwayError: the store does not answer, or was emptied.
        """

    async def probe(self) -> None:
        """Looks whether the store answers and holds what the bundle needs; reconnects where need be.

        Raises:
            StoreAwayError: it does not.
        """

    async def close(self) -> None:
        """Lets go of the store."""


def open_reader(
    workspace: Workspace,
    spec: DatasetSpec,
    *,
    semantics_version: str | None,
    feast_config: Path | None = None,
    timeout_s: float = 1.0,
    spent: Callable[[float], None] = lambda _: None,
) -> StoreReader:
    """The fastest reader for the configured online store; it is not connected yet. `spent` is told its CPU seconds.

    A single Redis and SQLite are read in their published layouts, past Feast's per-value objects; everything else, such
    as a Redis cluster, through Feast's `online_read`.
    """
    store = open_store(workspace, config=feast_config)
    presence = presence_key(spec, semantics_version)
    if _has_plain_names(store) and _is_single_redis(store):
        from llactr.serving.readers.redis import RedisReader

        return RedisReader(store.config, presence=presence, timeout_s=timeout_s, spent=spent)
    if _has_plain_names(store) and isinstance(store.provider.online_store, WorkspaceSqliteOnlineStore):
        from llactr.serving.readers.sqlite import SqliteReader

        return SqliteReader(store.config, presence=presence, timeout_s=timeout_s, spent=spent)
    from llactr.serving.readers.feast import FeastReader

    return FeastReader(store, presence=presence, timeout_s=timeout_s, spent=spent)


def _is_single_redis(store: FeatureStore) -> bool:
    config = store.config.online_store
    return config.type == "redis" and config.redis_type.value == "redis" and config.client.value == "redis"


def _has_plain_names(store: FeatureStore) -> bool:
    """Whether tables and hashes are named after views alone; Feast can also append a version of the view."""
    return not store.config.registry.enable_online_feature_view_versioning
