"""Feast's SQLite layout, read by one thread with one connection; the event loop never waits for a disk or a lock."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from feast import FeatureStore
from feast.repo_config import RepoConfig

from llactr.serving.readers.base import READERS, StoreAwayError, has_plain_names
from llactr.serving.views import Row, ViewRead
from llactr.sql import quote_identifier
from llactr.store.feast.messages import key_ends
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore, reading_only

__all__ = ["SqliteReader"]

T = TypeVar("T")
_KEYS_PER_QUERY = 500
_SIZE_BYTES = 4


@READERS.register("sqlite")
class SqliteReader:
    """See `StoreReader`.

    Args:
        config: the feature store's configuration, with the workspace's SQLite.
        timeout_s: of a probe, and of waiting for a lock.
        spent: told the CPU seconds of reads.
    """

    snapshot = True
    drops = ""

    def __init__(
        self,
        config: RepoConfig,
        *,
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> None:
        self._spent = spent
        self._path = Path(WorkspaceSqliteOnlineStore._get_db_path(config))
        self._project = config.project
        self._serialization = config.entity_key_serialization_version
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._columns: dict[ViewRead, tuple[tuple[bytes, bytes], dict[str, int]]] = {}

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """The workspace's own SQLite."""
        return has_plain_names(store) and isinstance(store.provider.online_store, WorkspaceSqliteOnlineStore)

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        *,
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> Self:
        """See `StoreReader`."""
        return cls(store.config, timeout_s=timeout_s, spent=spent)

    async def connect(self) -> None:
        """See `StoreReader`."""
        await self.probe([])

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        return await self._in_thread(lambda: self._timed(wanted))

    async def present(self, view: ViewRead, keys: Sequence[str]) -> list[bool]:
        """See `StoreReader`."""
        return [row is not None for row in (await self.read([(view, keys)]))[0]]

    async def probe(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._in_thread(lambda: self._read(wanted))
        except TimeoutError:
            raise StoreAwayError(f"the SQLite store {self._path} does not answer within {self._timeout_s} s") from None

    async def close(self) -> None:
        """See `StoreReader`."""
        await self._in_thread(self._disconnect)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _timed(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        began = time.thread_time()
        try:
            return self._read(wanted)
        finally:
            self._spent(time.thread_time() - began)

    def _read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        try:
            connection = self._connected()
            # One transaction: all views are of one state of the store.
            connection.execute("BEGIN")
            try:
                return [self._rows(connection, view, keys) for view, keys in wanted]
            finally:
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            if str(error).startswith("no such table"):
                raise StoreAwayError(f"{self._path} has {error}: run 'llactr materialize'") from None
            raise StoreAwayError(f"the SQLite store {self._path} does not answer ({error})") from None

    def _rows(self, connection: sqlite3.Connection, view: ViewRead, keys: Sequence[str]) -> list[Row]:
        (before, behind), columns = self._columns.get(view) or self._layout(view)
        encoded = [
            before + len(value).to_bytes(_SIZE_BYTES, "little") + value + behind
            for value in (key.encode() for key in keys)
        ]
        found: dict[bytes, list[bytes | None]] = {}
        width = len(columns)
        for start in range(0, len(encoded), _KEYS_PER_QUERY):
            part = encoded[start : start + _KEYS_PER_QUERY]
            query = (
                f"SELECT entity_key, feature_name, value FROM {self._table(view.view)} "
                f"WHERE entity_key IN ({','.join('?' * len(part))})"
            )
            for key, feature, value in connection.execute(query, part):
                row = found.get(key)
                if row is None:
                    row = found[key] = [None] * width
                column = columns.get(feature)
                if column is not None:
                    row[column] = value
        rows = {key: tuple(row) for key, row in found.items()}
        return [rows.get(key) for key in encoded]

    def _connected(self) -> sqlite3.Connection:
        """The connection, reopened when the file is another one by now: an unlinked file would answer for ever."""
        state = self._path.stat()
        if self._connection is None or self._file != (state.st_dev, state.st_ino):
            self._disconnect()
            place = reading_only(self._path) or f"{self._path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(place, uri=True, isolation_level=None, timeout=self._timeout_s / 2)
            self._connection.execute("PRAGMA query_only = ON")
            self._file = (state.st_dev, state.st_ino)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _layout(self, view: ViewRead) -> tuple[tuple[bytes, bytes], dict[str, int]]:
        """What stands around a value in the entity key, and the place of each feature in a row."""
        ends = key_ends(view.join_key, dict(view.fixed), serialization=self._serialization)
        layout = (ends, {feature: place for place, feature in enumerate(view.features)})
        self._columns[view] = layout
        return layout

    def _table(self, view: str) -> str:
        return quote_identifier(f"{self._project}_{view}")
