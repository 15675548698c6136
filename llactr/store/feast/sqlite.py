"""Feast's SQLite online store, in the workspace, for many threads and for readers beside a writer."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores import sqlite as stock
from feast.infra.online_stores.helpers import extract_text_and_num
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import RepoConfig
from feast.utils import to_naive_utc

from llactr.sql import quote_identifier
from llactr.store.feast.registry import quiet_known_warnings, repository_workspace

__all__ = ["WorkspaceSqliteOnlineStore", "WorkspaceSqliteOnlineStoreConfig", "reading_only"]

_TYPES = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES  # as Feast's own connections have them
_UPSERT = (
    "INSERT INTO {table} (entity_key, feature_name, value, value_text, event_ts, created_ts) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, value_text = excluded.value_text, "
    "event_ts = excluded.event_ts, created_ts = excluded.created_ts"
)


class WorkspaceSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Settings of the store; a relative `path` starts at the workspace."""

    type: Literal["llactr.store.feast.sqlite.WorkspaceSqliteOnlineStore"] = (
        "llactr.store.feast.sqlite.WorkspaceSqliteOnlineStore"
    )
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
            reading = reading_only(path)
            if reading is not None:
                connection = sqlite3.connect(reading, uri=True, detect_types=_TYPES, check_same_thread=False)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                connection = stock._initialize_conn(str(path))
            with self._lock:
                self._connections.append(connection)
            connection.execute("PRAGMA busy_timeout = 10000")
            if reading is None:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return connection

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKeyProto, dict[str, ValueProto], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Writes the rows that Feast's own store would write, in one transaction, each distinct value encoded once."""
        if config.online_store.vector_enabled or getattr(config.online_store, "enable_openai_compatible_store", False):
            super().online_write_batch(config, table, data, progress)
            return
        version = config.entity_key_serialization_version
        encoded: dict[int, tuple[bytes, str | None]] = {}
        moments: dict[datetime | None, int | None] = {None: None}

        def moment(time: datetime | None) -> int | None:
            if time not in moments:
                assert time is not None
                moments[time] = stock.adapt_datetime_epoch(to_naive_utc(time))
            return moments[time]

        def rows() -> Iterator[tuple[bytes, str, bytes, str | None, int | None, int | None]]:
            for key, values, event_time, created_time in data:
                key_bytes = serialize_entity_key(key, entity_key_serialization_version=version)
                event, created = moment(event_time), moment(created_time)
                for name, value in values.items():
                    known = encoded.get(id(value))  # `data` keeps the messages alive, so that an id means one of them
                    if known is None:
                        known = value.SerializeToString(), extract_text_and_num(value, False)[0]
                        encoded[id(value)] = known
                    yield key_bytes, name, *known, event, created

        name = stock._table_id(config.project, table, config.registry.enable_online_feature_view_versioning)
        with self._get_conn(config) as connection:
            connection.executemany(_UPSERT.format(table=quote_identifier(name)), rows())
        if progress:
            progress(len(data))

    def delete_rows(self, config: RepoConfig, table: FeatureView, keys: list[EntityKeyProto]) -> None:
        """Deletes a view's rows of some keys, in one transaction."""
        version = config.entity_key_serialization_version
        name = stock._table_id(config.project, table, config.registry.enable_online_feature_view_versioning)
        encoded = [(serialize_entity_key(key, entity_key_serialization_version=version),) for key in keys]
        with self._get_conn(config) as connection:
            connection.executemany(f"DELETE FROM {quote_identifier(name)} WHERE entity_key = ?", encoded)

    def compact(self, config: RepoConfig) -> bool:
        """Writes the database anew without what was deleted: until then deleted rows can be read in the file's bytes.

        Readers go on meanwhile; cost: one pass over the database, and its size once more on the disk.

        Returns:
            whether the log beside the database is empty too: False while a reader holds an old state.
        """
        connection = self._get_conn(config)
        connection.execute("VACUUM")
        return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)

    def teardown(self, config: RepoConfig, tables: Any, entities: Any) -> None:
        """Removes the database."""
        _close_all(self._connections)
        self._local = threading.local()
        super().teardown(config, tables, entities)
        for suffix in ("-wal", "-shm"):
            Path(self._get_db_path(config) + suffix).unlink(missing_ok=True)


def reading_only(path: Path) -> str | None:
    """How SQLite opens a database that this process may only read, as a URI; None where it may write.

    In WAL mode even a reader makes files beside the database. Where it cannot, and nothing waits in such a file, the
    database is opened as one that nobody changes.
    """
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return None
    log = path.with_name(f"{path.name}-wal")
    waiting = log.exists() and log.stat().st_size > 0
    return f"{path.absolute().as_uri()}?mode=ro{'' if waiting else '&immutable=1'}"


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        with contextlib.suppress(sqlite3.Error):
            connections.pop().close()
