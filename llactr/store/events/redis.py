"""States of history in a single Redis: an optimistic transaction over states and positions.

The note and the positions of a version are one hash. Whoever changes states of the version changes that hash in the
same MULTI, so that watching it alone notices every other writer; a lock that expires only keeps writers from trying at
the same moment.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from feast import FeatureStore
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from llactr.columns import STATE
from llactr.errors import StoreError
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store.events.base import Change, Filled, StateRow, StateTables
from llactr.store.events.changes import CHANGES_FEATURE
from llactr.store.feast.failures import store_failures
from llactr.store.marks import MARKS

__all__ = ["RedisStates"]

_NOTE = b"note"
_LOCK_MS = 2000
_PAUSE_S = 0.001
_GIVE_UP_S = 10.0


class RedisStates:
    """See `StateStore`.

    Args:
        store: the feature store.
        spec: of the dataset.
    """

    def __init__(self, store: FeatureStore, spec: DatasetSpec) -> None:
        from feast.infra.online_stores.helpers import _mmh3

        config = store.config
        self._tables = StateTables(spec, project=config.project, serialization=config.entity_key_serialization_version)
        self._suffix = config.project.encode()
        with store_failures("opening the online store", then="see that Redis runs"):
            online: Any = store.provider.online_store
            self._client: Any = online._get_client(config.online_store)
        self._fields = {
            owner: (_mmh3(f"{self._tables.view(owner)}:{STATE}"), f"_ts:{self._tables.view(owner)}".encode())
            for owner in spec.entities
        }
        self._changes_fields = _mmh3(f"{MARKS}:{CHANGES_FEATURE}"), f"_ts:{MARKS}".encode()

    @classmethod
    def holds(cls, store: FeatureStore) -> bool:
        """Whether it can write to the online store that is configured."""
        config = store.config.online_store
        single = config.type == "redis" and config.redis_type.value == "redis" and config.client.value == "redis"
        return single and not store.config.registry.enable_online_feature_view_versioning

    def filled(self, version: str) -> Filled | None:
        """See `StateStore`."""
        with _failures("reading which history is online"):
            return Filled.parse(self._client.hget(self._hash(version), _NOTE))

    def begin(self, version: str, snapshot: str) -> None:
        """See `StateStore`."""
        with _failures("filling history"):
            for pipe in self._tries(version):
                note = Filled.parse(pipe.hget(self._hash(version), _NOTE))
                if note is not None and note.snapshot == snapshot and not note.whole:
                    return
                pipe.multi()
                pipe.delete(self._hash(version), self._changes_key(version))
                pipe.hset(self._hash(version), _NOTE, Filled(snapshot).text())
                if _done(pipe):
                    return

    def finish(self, version: str, snapshot: str, owner: EntityOwner, positions: Mapping[str, int]) -> None:
        """See `StateStore`."""
        with _failures("filling history"):
            for pipe in self._tries(version):
                note = Filled.parse(pipe.hget(self._hash(version), _NOTE))
                if note is None or note.snapshot != snapshot:
                    raise StoreError(
                        "the history was filled by another process meanwhile: run 'llactr materialize' again"
                    )
                note = note.with_owner(owner)
                pipe.multi()
                if note.whole:
                    for segment, position in positions.items():
                        pipe.hset(self._hash(version), _place(segment), position)
                    self._write_changes(pipe, version, self._tables.unchanged())
                pipe.hset(self._hash(version), _NOTE, note.text())
                if _done(pipe):
                    return

    def drop(self, version: str) -> None:
        """See `StateStore`."""
        with _failures("removing history"):
            self._client.delete(self._hash(version), self._changes_key(version))

    def positions(self, version: str) -> dict[str, int]:
        """See `StateStore`."""
        with _failures("reading which events are online"):
            found = self._client.hgetall(self._hash(version))
        return {name[3:].decode(): int(value) for name, value in found.items() if name.startswith(b"at:")}

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
        encoded = {owner: self._keys(owner, version, asked) for owner, asked in keys.items()}
        with _failures("updating the history of users and items"), self._lock(version):
            for pipe in self._tries(version):
                raw_note, raw_position = pipe.hmget(self._hash(version), [_NOTE, _place(segment)])
                note = Filled.parse(raw_note)
                if note is None or not note.whole:
                    return None
                position = int(raw_position or 0)
                if position != start:
                    return position
                found = {owner: self._read(owner, asked) for owner, asked in encoded.items()}
                changed = change(found)
                before = self._client.hget(self._changes_key(version), self._changes_fields[0])
                pipe.multi()
                for owner, rows in changed.items():
                    self._write(pipe, owner, version, rows)
                if changed.get("item"):
                    self._write_changes(pipe, version, self._tables.changed(before, changed))
                pipe.hset(self._hash(version), _place(segment), end)
                if _done(pipe):
                    return end
        raise AssertionError("tries end by returning or raising")

    def read(self, version: str, owner: EntityOwner, keys: Sequence[str]) -> list[bytes | None]:
        """See `StateStore`."""
        with _failures("reading the history of users and items"):
            return self._read(owner, self._keys(owner, version, keys))

    def close(self) -> None:
        """See `StateStore`. The client is Feast's."""

    def _keys(self, owner: EntityOwner, version: str, keys: Sequence[str]) -> list[bytes]:
        return [key + self._suffix for key in self._tables.keys(owner, version, keys)]

    def _read(self, owner: EntityOwner, keys: Sequence[bytes]) -> list[bytes | None]:
        field, _ = self._fields[owner]
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hget(key, field)
            return [self._tables.state(value) for value in pipe.execute()]

    def _write(self, pipe: Any, owner: EntityOwner, version: str, rows: Sequence[StateRow]) -> None:
        field, time_field = self._fields[owner]
        for key, row in zip(self._keys(owner, version, [row.key for row in rows]), rows, strict=True):
            stamp = Timestamp(seconds=row.moment_us // 1_000_000).SerializeToString()
            pipe.hset(key, mapping={field: self._tables.value(row.state), time_field: stamp})

    def _changes_key(self, version: str) -> bytes:
        return self._tables.changes_key(version) + self._suffix

    def _write_changes(self, pipe: Any, version: str, value: bytes) -> None:
        """Sets the row that says which items' states changed last."""
        field, time_field = self._changes_fields
        pipe.hset(self._changes_key(version), mapping={field: value, time_field: Timestamp().SerializeToString()})

    def _hash(self, version: str) -> bytes:
        return f"llactr:history:{self._tables.project}:{self._tables.dataset}:{version}".encode()

    def _tries(self, version: str) -> Iterator[Any]:
        """Pipelines that watch a version's hash, until one of them was executed."""
        deadline = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < deadline:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.watch(self._hash(version))
                yield pipe
            time.sleep(_PAUSE_S)
        raise StoreError(f"other writers kept the history busy for {_GIVE_UP_S:g} s: try again")

    @contextmanager
    def _lock(self, version: str) -> Iterator[None]:
        """Waits until no other writer is at it, at most as long as a lock lives: it is for speed, not for safety."""
        name, token = self._hash(version) + b":lock", uuid.uuid4().hex.encode()
        deadline = time.monotonic() + _LOCK_MS / 1000
        held = bool(self._client.set(name, token, nx=True, px=_LOCK_MS))
        while not held and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
            held = bool(self._client.set(name, token, nx=True, px=_LOCK_MS))
        try:
            yield
        finally:
            if held and self._client.get(name) == token:
                self._client.delete(name)


def _failures(doing: str) -> Any:
    return store_failures(doing, then="see that Redis runs, and try again")


def _place(segment: str) -> bytes:
    return f"at:{segment}".encode()


def _done(pipe: Any) -> bool:
    """Executes a transaction; False where somebody else changed what it watches."""
    from redis.exceptions import WatchError

    try:
        pipe.execute()
    except WatchError:
        return False
    return True
