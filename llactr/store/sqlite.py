"""Feast's SQLite online store, in the workspace, for many threads and for readers beside a writer."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import weakref
from pathlib import Path
from typing import Any, Literal

from feast.infra.online_stores import sqlite as stock
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.repo_config import RepoConfig

from llactr.store.registry import quiet_known_warnings, repository_workspace

__all__ = ["WorkspaceSqliteOnlineStore", "WorkspaceSqliteOnlineStoreConfig"]


class WorkspaceSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Settings of the store; a relative `path` starts at the workspace."""

    type: Literal["llactr.store.sqlite.WorkspaceSqliteOnlineStore"] = "llactr.store.sqlite.WorkspaceSqliteOnlineStore"
    path: str = "feast/online.db"

    def model_post_init(self, context: Any) -> None:
        """Feast reads this section first of all."""
        quiet_known_warnings()


class WorkspaceSqliteOnlineStore(SqliteOnlineStore):
    """One connection per thread, in WAL mode: a materialization neither blocks readers nor is blocked by them."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._connections)

    @staticmethod
    def _get_db_path(config: RepoConfig) -> str:
        path = Path(config.online_store.path)
        return str(path if path.is_absolute() else repository_workspace(Path(config.repo_path)).root / path)

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            path = Path(self._get_db_path(config))
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = stock._initialize_conn(str(path))
            with self._lock:
                self._connections.append(connection)
            connection.execute("PRAGMA busy_timeout = 10000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return connection

    def teardown(self, config: RepoConfig, tables: Any, entities: Any) -> None:
        """Removes the database."""
        _close_all(self._connections)
        self._local = threading.local()
        super().teardown(config, tables, entities)
        for suffix in ("-wal", "-shm"):
            Path(self._get_db_path(config) + suffix).unlink(missing_ok=True)


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        with contextlib.suppress(sqlite3.Error):
            connections.pop().close()
