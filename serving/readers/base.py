"""The narrow door to the online store: some keys of some views in, serialized values out, or StoreAway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from feast import FeatureStore

from llactr.errors import StoreError
from llactr.registry import Registry
from llactr.serving.views import Row, ViewRead, presence_key
from llactr.spec import DatasetSpec
from llactr.store.feast.open import open_store
from llactr.workspace import Workspace

__all__ = ["READERS", "StoreAwayError", "StoreReader", "has_plain_names", "open_reader"]


class StoreAwayError(StoreError):
    """The online store does not answer, or has lost what the bundle needs; it may be back in a moment."""


class StoreReader(Protocol):
    """Reads rows of views. One reader serves one event loop."""

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """Whether it can read the online store that is configured."""

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        *,
        presence: tuple[str, dict[str, str]],
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> Self:
        """A reader that is not connected yet.

        Args:
            store: the feature store.
            presence: view and key that must be there.
            timeout_s: of connecting and probing.
            spent: told the CPU seconds of reads.
        """

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


def _check(entry: object) -> None:
    missing = [name for name in ("reads", "of", "connect", "read", "probe", "close") if not hasattr(entry, name)]
    if missing:
        raise TypeError(f"expected a reader of an online store, {entry!r} has no {', '.join(missing)}")


READERS: Registry[type[StoreReader]] = Registry(
    "reader of online stores",
    package="llactr.serving.readers",
    group="llactr.readers",
    order=("redis", "sqlite"),
    check=_check,
)
"""Name -> class. The first that reads the configured store is taken, `feast` when there is none."""


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
    reader = next((one for _, one in READERS.working() if one.reads(store)), READERS["feast"])
    return reader.of(store, presence=presence, timeout_s=timeout_s, spent=spent)


def has_plain_names(store: FeatureStore) -> bool:
    """Whether tables and hashes are named after views alone; Feast can also append a version of the view."""
    return not store.config.registry.enable_online_feature_view_versioning
