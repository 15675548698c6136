"""Any online store through Feast's `online_read`, in a few threads: Redis with sentinels, a cloud store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Self

from feast import FeatureStore, FeatureView

from llactr.serving.readers.base import READERS, StoreAwayError
from llactr.serving.views import Row, ViewRead
from llactr.store.feast.messages import Value, entity_key
from llactr.store.marks import MARKS, marks_view

__all__ = ["FeastReader"]

_THREADS = 4


@READERS.register("feast")
class FeastReader:
    """See `StoreReader`. Views are looked up once.

    Args:
        store: the feature store.
        timeout_s: of a probe.
        spent: told the CPU seconds of reads.
    """

    snapshot = False
    drops = ""

    def __init__(
        self,
        store: FeatureStore,
        *,
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> None:
        self._spent = spent
        self._store = store
        self._timeout_s = timeout_s
        self._views: dict[str, FeatureView] = {MARKS: marks_view()}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="feast")

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """Not by itself: it reads any store, and is taken when no other reader does."""
        return False

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        *,
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> Self:
        """See `StoreReader`."""
        return cls(store, timeout_s=timeout_s, spent=spent)

    async def connect(self) -> None:
        """See `StoreReader`."""
        await self.probe([])

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, wanted)

    async def present(self, view: ViewRead, keys: Sequence[str]) -> list[bool]:
        """See `StoreReader`."""
        return [row is not None for row in (await self.read([(view, keys)]))[0]]

    async def probe(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self.read(wanted)
        except TimeoutError:
            raise StoreAwayError(f"the online store does not answer within {self._timeout_s} s") from None

    async def close(self) -> None:
        """See `StoreReader`."""
        self._threads.shutdown(wait=False)

    def _read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        began = time.thread_time()
        try:
            return [
                self._online_read(entry.view, [entry.entity_key(value) for value in keys], list(entry.features))
                if keys
                else []
                for entry, keys in wanted
            ]
        except StoreAwayError:
            raise
        except Exception as error:  # each store throws its own; all mean that there is no answer
            raise StoreAwayError(f"the online store does not answer ({type(error).__name__}: {error})") from None
        finally:
            self._spent(time.thread_time() - began)

    def _online_read(self, name: str, keys: list[dict[str, str]], features: list[str]) -> list[Row]:
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = self._store.get_feature_view(name)
        entity_keys = [entity_key(key) for key in keys]
        found = self._store.provider.online_read(self._store.config, view, entity_keys, list(features))
        return [_row(time, values, features) for time, values in found]


def _row(moment: datetime | None, values: dict[str, Value] | None, features: list[str]) -> Row:
    if moment is None or values is None:
        return None
    row = tuple(values[name].SerializeToString() if name in values else None for name in features)
    # Redis stores answer for an unknown entity with the year 1970 and values without content.
    return None if not moment.timestamp() and not any(row) else row
