"""The narrow door to the online store: some keys of some views in, serialized values out, or StoreAway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from feast import FeatureStore

from llactr.errors import StoreError
from llactr.registry import Registry
from llactr.serving.views import Row, ViewRead

__all__ = ["READERS", "LostRowsError", "StoreAwayError", "StoreReader", "has_plain_names"]


class StoreAwayError(StoreError):
    """The online store does not answer, or has lost what the bundle needs; it may be back in a moment."""


class LostRowsError(StoreError):
    """Rows that were materialized are gone from the online store, or damaged: a score without them would be wrong."""

    def __init__(self, message: str, *, owner: str, rows: int) -> None:
        super().__init__(message)
        self.owner = owner
        self.rows = rows


class StoreReader(Protocol):
    """Reads rows of views. One reader serves one event loop.

    Attributes:
        snapshot: whether all that one `read` asks for is of one state of the store.
    """

    snapshot: bool

    @property
    def drops(self) -> str:
        """What would make the store drop rows; empty when nothing does."""

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """Whether it can read the online store that is configured."""

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        *,
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> Self:
        """A reader that is not connected yet.

        Args:
            store: the feature store.
            timeout_s: of connecting and probing.
            spent: told the CPU seconds of reads.
        """

    async def connect(self) -> None:
        """Connects.

        Raises:
            StoreAwayError: the store does not answer.
        """

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """One batch per view: for each (view, keys) the rows, in the order of the keys.

        Raises:
            StoreAwayError: the store does not answer.
        """

    async def probe(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """As `read`, within the time of a probe; reconnects where need be.

        Raises:
            StoreAwayError: the store does not answer.
        """

    async def present(self, view: ViewRead, keys: Sequence[str]) -> list[bool]:
        """Whether rows are there; does not count as a use of them, where a store drops what is used least.

        Raises:
            StoreAwayError: the store does not answer.
        """

    async def close(self) -> None:
        """Lets go of the store."""


def _check(entry: object) -> None:
    missing = [
        name for name in ("reads", "of", "connect", "read", "present", "probe", "close") if not hasattr(entry, name)
    ]
    if missing:
        raise TypeError(f"expected a reader of an online store, {entry!r} has no {', '.join(missing)}")


READERS: Registry[type[StoreReader]] = Registry(
    "reader of online stores",
    package="llactr.serving.readers",
    group="llactr.readers",
    order=("redis", "redis_cluster", "sqlite"),
    check=_check,
)
"""Name -> class. The first that reads the configured store is taken, `feast` when there is none."""


def has_plain_names(store: FeatureStore) -> bool:
    """Whether tables and hashes are named after views alone; Feast can also append a version of the view."""
    return not store.config.registry.enable_online_feature_view_versioning
