"""States of history in the workspace's SQLite: one immediate transaction for states and position."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from feast import FeatureStore

from llactr.columns import STATE
from llactr.errors import StoreError
from llactr.spec import DatasetSpec, EntityOwner
from llactr.sql import quote_identifier
from llactr.store.events.base import Change, Filled, StateRow, StateTables
from llactr.store.events.changes import CHANGES_FEATURE
from llactr.store.feast.failures import store_failures
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore, reading_only
from llactr.store.marks import MARKS

__all__ = ["SqliteStates"]

_KEYS_PER_QUERY = 500
_WAIT_S = 10.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS llactr_history_filled (dataset TEXT, version TEXT, note TEXT, "
    "PRIMARY KEY (dataset, version)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS llactr_history_applied (dataset TEXT, version TEXT, segment TEXT, position INTEGER, "
    "PRIMARY KEY (dataset, version, segment)) WITHOUT ROWID",
)


class SqliteStates:
    """See `StateStore`.

    Args:
        store: the feature store.
        spec: of the dataset.
    """

    def __init__(self, store: FeatureStore, spec: DatasetSpec) -> None:
        config = store.config
        self._path = Path(WorkspaceSqliteOnlineStore._get_db_path(config))
        self._tables = StateTables(spec, project=config.project, serialization=config.entity_key_serialization_version)
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    @classmethod
    def holds(cls, store: FeatureStore) -> bool:
        """Whether it can write to the online store that is configured."""
        plain = not store.config.registry.enable_online_feature_view_versioning
        return plain and isinstance(store.provider.online_store, WorkspaceSqliteOnlineStore)

    def filled(self, version: str) -> Filled | None:
        """See `StateStore`."""
        with self._transaction("reading which history is online", writes=False) as connection:
            return self._note(connection, version)

    def begin(self, version: str, snapshot: str) -> None:
        """See `StateStore`."""
        with self._transaction("filling history") as connection:
            note = self._note(connection, version)
            if note is None or note.snapshot != snapshot or note.whole:
                which = (self._tables.dataset, version)
                connection.execute("DELETE FROM llactr_history_applied WHERE dataset = ? AND version = ?", which)
                self._write_changes(connection, version, None)
                self._write_note(connection, version, Filled(snapshot))

    def finish(self, version: str, snapshot: str, owner: EntityOwner, positions: Mapping[str, int]) -> None:
        """See `StateStore`."""
        with self._transaction("filling history") as connection:
            note = self._note(connection, version)
            if note is None or note.snapshot != snapshot:
                raise StoreError("the history was filled by another process meanwhile: run 'llactr materialize' again")
            note = note.with_owner(owner)
            if note.whole:
                for segment, position in positions.items():
                    self._move(connection, version, segment, position)
                self._write_changes(connection, version, self._tables.unchanged())
            self._write_note(connection, version, note)

    def drop(self, version: str) -> None:
        """See `StateStore`."""
        with self._transaction("removing history") as connection:
            for table in ("llactr_history_applied", "llactr_history_filled"):
                which = (self._tables.dataset, version)
                connection.execute(f"DELETE FROM {table} WHERE dataset = ? AND version = ?", which)
            self._write_changes(connection, version, None)

    def positions(self, version: str) -> dict[str, int]:
        """See `StateStore`."""
        with self._transaction("reading which events are online", writes=False) as connection:
            query = "SELECT segment, position FROM llactr_history_applied WHERE dataset = ? AND version = ?"
            return dict(connection.execute(query, (self._tables.dataset, version)).fetchall())

    def apply(
        self,
        version: str,
        segment: str,
        start: int,
        end: int,
        keys: Mapping[EntityOwner, Sequence[str]],
        change: Change,
    ) -> int | None:
        """See `StateStore`."""
        with self._transaction("updating the history of users and items") as connection:
            note = self._note(connection, version)
            if note is None or not note.whole:
                return None
            query = "SELECT position FROM llactr_history_applied WHERE dataset = ? AND version = ? AND segment = ?"
            row = connection.execute(query, (self._tables.dataset, version, segment)).fetchone()
            position = row[0] if row else 0
            if position != start:
                return int(position)
            found = {owner: self._read(connection, owner, version, asked) for owner, asked in keys.items()}
            changed = change(found)
            for owner, rows in changed.items():
                self._write(connection, owner, version, rows)
            if changed.get("item"):
                before = self._changes(connection, version)
                self._write_changes(connection, version, self._tables.changed(before, changed))
            self._move(connection, version, segment, end)
            return end

    def read(self, version: str, owner: EntityOwner, keys: Sequence[str]) -> list[bytes | None]:
        """See `StateStore`."""
        with self._transaction("reading the history of users and items", writes=False) as connection:
            return self._read(connection, owner, version, keys)

    def close(self) -> None:
        """See `StateStore`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(
        self, connection: sqlite3.Connection, owner: EntityOwner, version: str, keys: Sequence[str]
    ) -> list[bytes | None]:
        encoded = self._tables.keys(owner, version, keys)
        found: dict[bytes, bytes] = {}
        for at in range(0, len(encoded), _KEYS_PER_QUERY):
            part = encoded[at : at + _KEYS_PER_QUERY]
            query = (
                f"SELECT entity_key, value FROM {self._table(owner)} "
                f"WHERE feature_name = '{STATE}' AND entity_key IN ({','.join('?' * len(part))})"
            )
            found.update(connection.execute(query, part))
        return [self._tables.state(found.get(key)) for key in encoded]

    def _write(
        self, connection: sqlite3.Connection, owner: EntityOwner, version: str, rows: Sequence[StateRow]
    ) -> None:
        encoded = self._tables.keys(owner, version, [row.key for row in rows])
        connection.executemany(
            f"INSERT INTO {self._table(owner)} (entity_key, feature_name, value, event_ts, created_ts) "
            f"VALUES (?, '{STATE}', ?, ?, ?) ON CONFLICT (entity_key, feature_name) "
            "DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts, created_ts = excluded.created_ts",
            [
                (key, self._tables.value(row.state), row.moment_us // 1_000_000, row.moment_us // 1_000_000)
                for key, row in zip(encoded, rows, strict=True)
            ],
        )

    def _note(self, connection: sqlite3.Connection, version: str) -> Filled | None:
        query = "SELECT note FROM llactr_history_filled WHERE dataset = ? AND version = ?"
        try:
            row = connection.execute(query, (self._tables.dataset, version)).fetchone()
        except sqlite3.OperationalError as error:
            if not str(error).startswith("no such table"):
                raise
            return None
        return Filled.parse(row[0]) if row else None

    def _write_note(self, connection: sqlite3.Connection, version: str, note: Filled) -> None:
        values = (self._tables.dataset, version, note.text())
        connection.execute("INSERT OR REPLACE INTO llactr_history_filled VALUES (?, ?, ?)", values)

    def _move(self, connection: sqlite3.Connection, version: str, segment: str, position: int) -> None:
        values = (self._tables.dataset, version, segment, position)
        connection.execute("INSERT OR REPLACE INTO llactr_history_applied VALUES (?, ?, ?, ?)", values)

    def _changes(self, connection: sqlite3.Connection, version: str) -> bytes | None:
        if not self._has_marks(connection):
            return None
        query = f"SELECT value FROM {self._marks} WHERE entity_key = ? AND feature_name = ?"
        row = connection.execute(query, (self._tables.changes_key(version), CHANGES_FEATURE)).fetchone()
        return row[0] if row else None

    def _write_changes(self, connection: sqlite3.Connection, version: str, value: bytes | None) -> None:
        """Sets the row that says which items' states changed last; takes it away for None."""
        if not self._has_marks(connection):  # a store that was never filled by `materialize`: nothing is kept of it
            return
        which = (self._tables.changes_key(version), CHANGES_FEATURE)
        connection.execute(f"DELETE FROM {self._marks} WHERE entity_key = ? AND feature_name = ?", which)
        if value is not None:
            columns = "(entity_key, feature_name, value, event_ts, created_ts)"
            connection.execute(f"INSERT INTO {self._marks} {columns} VALUES (?, ?, ?, 0, 0)", (*which, value))

    def _has_marks(self, connection: sqlite3.Connection) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return connection.execute(query, (f"{self._tables.project}_{MARKS}",)).fetchone() is not None

    @property
    def _marks(self) -> str:
        return quote_identifier(f"{self._tables.project}_{MARKS}")

    def _table(self, owner: EntityOwner) -> str:
        return quote_identifier(f"{self._tables.project}_{self._tables.view(owner)}")

    @contextmanager
    def _transaction(self, doing: str, *, writes: bool = True) -> Iterator[sqlite3.Connection]:
        with store_failures(doing, then="run 'llactr materialize' where it was emptied, else try again"):
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        """The connection, reopened when the file is another one by now."""
        if not self._path.parent.is_dir():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._connection is not None and self._file != _identity(self._path):
            self.close()
        if self._connection is None:
            reading = reading_only(self._path)
            self._connection = sqlite3.connect(
                reading or self._path,
                uri=reading is not None,
                isolation_level=None,
                timeout=_WAIT_S,
                check_same_thread=False,
            )
            if reading is None:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                for statement in _TABLES:
                    self._connection.execute(statement)
            self._file = _identity(self._path)
        return self._connection


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
