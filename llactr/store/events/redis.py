"""States of history in a single Redis: read in one round trip, changed by a script that looks whether they stand.

The note and the positions of a version are one hash; a row says which items' states changed last. Whoever changes
states moves that row in the same script or transaction, so that the row, the note and the position as they were read
say that no other writer came between. Redis runs a script as a whole or not at all. A lock that expires keeps writers
that came into each other's way from trying at the same moment.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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

__all__ = ["NOTE", "NO_TIME", "RedisStates", "redis_failures", "segment_place"]

NOTE = b"note"
NO_TIME = Timestamp().SerializeToString()
_SCRIPT = """
local place, note, at = ARGV[1], ARGV[2], ARGV[3]
if (redis.call('HGET', KEYS[1], 'note') or '') ~= note or (redis.call('HGET', KEYS[1], place) or '0') ~= at
or (redis.call('HGET', KEYS[2], ARGV[5]) or '') ~= ARGV[6] then
    return 0
end
for number = 3, #KEYS do
    local first = 10 + 4 * (number - 3)
    redis.call('HSET', KEYS[number], ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3])
end
if ARGV[7] ~= '' then
    redis.call('HSET', KEYS[2], ARGV[5], ARGV[7], ARGV[8], ARGV[9])
end
redis.call('HSET', KEYS[1], place, ARGV[4])
return 1
"""
_LOCK_MS = 2000
_PAUSE_S = 0.001
_GIVE_UP_S = 10.0


@dataclass
class _Seen:
    """What is stored of a version, unless another writer came between, as the script finds out.

    Attributes:
        note: as it is stored.
        row: of the changes.
        states: key -> state; None for a key without one.
    """

    note: bytes | None
    row: bytes | None
    states: dict[bytes, bytes | None]


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
        self._script = self._client.register_script(_SCRIPT)

    @classmethod
    def holds(cls, store: FeatureStore) -> bool:
        """Whether it can write to the online store that is configured."""
        config = store.config.online_store
        single = config.type == "redis" and config.redis_type.value == "redis" and config.client.value == "redis"
        return single and not store.config.registry.enable_online_feature_view_versioning

    def filled(self, version: str) -> Filled | None:
        """See `StateStore`."""
        with redis_failures("reading which history is online"):
            return Filled.parse(self._client.hget(self._hash(version), NOTE))

    def begin(self, version: str, snapshot: str) -> None:
        """See `StateStore`."""
        with redis_failures("filling history"):
            for pipe in self._tries(version):
                note = Filled.parse(pipe.hget(self._hash(version), NOTE))
                if note is not None and note.snapshot == snapshot and not note.whole:
                    return
                pipe.multi()
                pipe.delete(self._hash(version), self._changes_key(version))
                pipe.hset(self._hash(version), NOTE, Filled(snapshot).text())
                if _done(pipe):
                    return

    def finish(self, version: str, snapshot: str, owner: EntityOwner, positions: Mapping[str, int]) -> None:
        """See `StateStore`."""
        with redis_failures("filling history"):
            for pipe in self._tries(version):
                note = Filled.parse(pipe.hget(self._hash(version), NOTE))
                if note is None or note.snapshot != snapshot:
                    raise StoreError(
                        "the history was filled by another process meanwhile: run 'llactr materialize' again"
                    )
                note = note.with_owner(owner)
                pipe.multi()
                if note.whole:
                    for segment, position in positions.items():
                        pipe.hset(self._hash(version), segment_place(segment), position)
                    self._write_changes(pipe, version, self._tables.unchanged())
                pipe.hset(self._hash(version), NOTE, note.text())
                if _done(pipe):
                    return

    def drop(self, version: str) -> None:
        """See `StateStore`."""
        with redis_failures("removing history"):
            self._client.delete(self._hash(version), self._changes_key(version))

    def positions(self, version: str) -> dict[str, int]:
        """See `StateStore`."""
        with redis_failures("reading which events are online"):
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
        place = segment_place(segment)
        with redis_failures("updating the history of users and items"), contextlib.ExitStack() as stack:
            for number in self._turns():
                if number == 1:
                    stack.enter_context(self._lock(version))
                seen, position = self._seen(version, place, encoded)
                note = Filled.parse(seen.note)
                if note is None or not note.whole:
                    return None
                if position != start:
                    return position
                changed = change({owner: [seen.states[key] for key in some] for owner, some in encoded.items()})
                if self._write(version, place, start, end, seen, changed):
                    return end
        raise AssertionError("turns end by returning or raising")

    def read(self, version: str, owner: EntityOwner, keys: Sequence[str]) -> list[bytes | None]:
        """See `StateStore`."""
        with redis_failures("reading the history of users and items"):
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

    def _seen(self, version: str, place: bytes, keys: Mapping[EntityOwner, Sequence[bytes]]) -> tuple[_Seen, int]:
        """What is stored, and a segment's position: note, position and row of changes are read before the states."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hmget(self._hash(version), [NOTE, place])
            pipe.hget(self._changes_key(version), self._changes_fields[0])
            for owner, some in keys.items():
                for key in some:
                    pipe.hget(key, self._fields[owner][0])
            (note, position), row, *values = pipe.execute()
        names = [key for some in keys.values() for key in some]
        states = {key: self._tables.state(value) for key, value in zip(names, values, strict=True)}
        return _Seen(note, row, states), int(position or 0)

    def _write(
        self,
        version: str,
        place: bytes,
        start: int,
        end: int,
        seen: _Seen,
        changed: Mapping[EntityOwner, Sequence[StateRow]],
    ) -> bool:
        """Changes states and moves a segment's position; False where what is stored is not what was seen."""
        row = self._tables.changed(seen.row, changed) if changed.get("item") else None
        field, time_field = self._changes_fields
        names: list[bytes] = [self._hash(version), self._changes_key(version)]
        values: list[bytes | int] = [place, seen.note or b"", start, end, field, seen.row or b""]
        values += [row or b"", time_field, NO_TIME]
        for owner, rows in changed.items():
            names += self._keys(owner, version, [one.key for one in rows])
            field, time_field = self._fields[owner]
            for one in rows:
                stamp = Timestamp(seconds=one.moment_us // 1_000_000).SerializeToString()
                values += [field, self._tables.value(one.state), time_field, stamp]
        return bool(self._script(names, values))

    @staticmethod
    def _turns() -> Iterator[int]:
        """Numbers from 0, until it takes too long."""
        deadline, number = time.monotonic() + _GIVE_UP_S, 0
        while time.monotonic() < deadline:
            yield number
            number += 1
            time.sleep(_PAUSE_S)
        raise StoreError(f"other writers kept the history busy for {_GIVE_UP_S:g} s: try again")

    def _changes_key(self, version: str) -> bytes:
        return self._tables.changes_key(version) + self._suffix

    def _write_changes(self, pipe: Any, version: str, value: bytes) -> None:
        """Sets the row that says which items' states changed last."""
        field, time_field = self._changes_fields
        pipe.hset(self._changes_key(version), mapping={field: value, time_field: NO_TIME})

    def _hash(self, version: str) -> bytes:
        return f"llactr:history:{self._tables.project}:{self._tables.dataset}:{version}".encode()

    def _tries(self, version: str) -> Iterator[Any]:
        """Pipelines that watch a version's hash, until one of them was executed."""
        for _ in self._turns():
            with self._client.pipeline(transaction=True) as pipe:
                pipe.watch(self._hash(version))
                yield pipe

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


def redis_failures(doing: str) -> Any:
    """Turns what Redis throws into a StoreError."""
    return store_failures(doing, then="see that Redis runs, and try again")


def segment_place(segment: str) -> bytes:
    """The field of a segment's position in a version's hash."""
    return f"at:{segment}".encode()


def _done(pipe: Any) -> bool:
    """Executes a transaction; False where somebody else changed what it watches."""
    from redis.exceptions import WatchError

    try:
        pipe.execute()
    except WatchError:
        return False
    return True
