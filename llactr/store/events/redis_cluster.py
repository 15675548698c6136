"""States of history in a Redis cluster: a batch of events is agreed on in one key, then written row by row.

No transaction spans the nodes of a cluster, and the states of a user and of an item lie on different ones. So a batch
is first put under a key of its own, with the new states and digests of the old ones (the *redo*). Then one script on
the version's hash moves the segment's position and names that redo: from this moment on the batch counts, whatever
dies. Then its rows are written, each by a script that writes the new state over the old one or over nothing and leaves
any other alone, so that a writer which wakes up late overwrites nothing; the row of changes is the last of them. Then
the name is taken off the hash. Whoever comes finishes a named batch before anything else: batches of a version follow
one another, and none is applied twice or in part.
"""

from __future__ import annotations

import contextlib
import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import NamedTuple

from feast import FeatureStore
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from llactr.errors import StoreError
from llactr.spec import EntityOwner
from llactr.store.events.base import Change, Filled, StateRow
from llactr.store.events.redis import NO_TIME, NOTE, RedisStates, redis_failures, segment_place

__all__ = ["RedisClusterStates"]

_REDO = b"redo"
_BATCHES = b"batches"
_KEPT_S = 7 * 24 * 3600
"""How long a redo lies there: one that is named is finished by whoever comes next, one that is not is litter."""
_PATIENCE = 5
"""Looks, a millisecond apart, before another writer's batch is finished for it: it is probably alive."""
_BEGIN = """
if (redis.call('HGET', KEYS[1], 'note') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'note', ARGV[2])
return 1
"""
_FINISH = """
if (redis.call('HGET', KEYS[1], 'note') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'note', ARGV[2], unpack(ARGV, 3))
return 1
"""
_AGREE = """
local place, note, at, ended, batches, redo = unpack(ARGV)
if redis.call('HGET', KEYS[1], 'redo') == redo then return 1 end
if (redis.call('HGET', KEYS[1], 'note') or '') ~= note or (redis.call('HGET', KEYS[1], place) or '0') ~= at
or (redis.call('HGET', KEYS[1], 'batches') or '0') ~= batches or redis.call('HEXISTS', KEYS[1], 'redo') == 1 then
    return 0
end
redis.call('HSET', KEYS[1], place, ended, 'batches', batches + 1, 'redo', redo)
return 1
"""
_WRITE = """
local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now == ARGV[3] then return 1 end
if now ~= '' and redis.sha1hex(now) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5])
return 1
"""
_DONE = """
if redis.call('HGET', KEYS[1], 'redo') == ARGV[1] then redis.call('HDEL', KEYS[1], 'redo') end
return 1
"""
_SIZE = struct.Struct("<I")


class _Row(NamedTuple):
    """A row to write: its hash, the field of its value, the old value's digest, the new value, its time."""

    key: bytes
    field: bytes
    before: bytes
    value: bytes
    time_field: bytes
    time: bytes


@dataclass(frozen=True)
class _Head:
    """What a version's hash says when no batch is under way."""

    note: bytes | None
    position: int
    batches: int


class RedisClusterStates(RedisStates):
    """See `StateStore`.

    Args:
        store: the feature store.
        spec: of the dataset.
    """

    @classmethod
    def holds(cls, store: FeatureStore) -> bool:
        """Whether it can write to the online store that is configured."""
        config = store.config.online_store
        cluster = config.type == "redis" and config.redis_type.value == "redis_cluster"
        plain = not store.config.registry.enable_online_feature_view_versioning
        return cluster and config.client.value == "redis" and plain

    def begin(self, version: str, snapshot: str) -> None:
        """See `StateStore`."""
        with redis_failures("filling history"):
            for _ in self._turns():
                content, redo = self._client.hmget(self._hash(version), [NOTE, _REDO])
                note = Filled.parse(content)
                if note is not None and note.snapshot == snapshot and not note.whole:
                    return
                self._client.delete(self._changes_key(version))
                if self._run(_BEGIN, version, [content or b"", Filled(snapshot).text()]):
                    if redo is not None:
                        self._client.delete(redo)
                    return

    def finish(self, version: str, snapshot: str, owner: EntityOwner, positions: Mapping[str, int]) -> None:
        """See `StateStore`."""
        with redis_failures("filling history"):
            for _ in self._turns():
                content = self._client.hget(self._hash(version), NOTE)
                note = Filled.parse(content)
                if note is None or note.snapshot != snapshot:
                    raise StoreError(
                        "the history was filled by another process meanwhile: run 'llactr materialize' again"
                    )
                note = note.with_owner(owner)
                values: list[bytes | str | int] = [content, note.text()]
                if note.whole:
                    for segment, position in positions.items():
                        values += [segment_place(segment), position]
                    self._write_changes(self._client, version, self._tables.unchanged())
                if self._run(_FINISH, version, values):
                    return

    def drop(self, version: str) -> None:
        """See `StateStore`."""
        with redis_failures("removing history"):
            redo = self._client.hget(self._hash(version), _REDO)
            for key in (self._hash(version), self._changes_key(version), *([redo] if redo else ())):
                self._client.delete(key)

    def positions(self, version: str) -> dict[str, int]:
        """See `StateStore`."""
        with redis_failures("reading which events are online"):
            self._settled(version, b"")
        return super().positions(version)

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
        place = segment_place(segment)
        with redis_failures("updating the history of users and items"), contextlib.ExitStack() as stack:
            for number in self._turns():
                if number == 1:
                    stack.enter_context(self._lock(version))
                head = self._settled(version, place)
                note = Filled.parse(head.note)
                if note is None or not note.whole:
                    return None
                if head.position != start:
                    return head.position
                states = {owner: self._read(owner, self._keys(owner, version, asked)) for owner, asked in keys.items()}
                row = self._client.hget(self._changes_key(version), self._changes_fields[0])
                before = {owner: dict(zip(asked, states[owner], strict=True)) for owner, asked in keys.items()}
                rows = self._rows(version, before, change(states), row)
                if self._agreed(version, place, head, end, rows):
                    return end
        raise AssertionError("turns end by returning or raising")

    def _run(self, script: str, version: str, values: Sequence[object]) -> bool:
        """Runs a script on a version's hash."""
        return bool(self._client.eval(script, 1, self._hash(version), *values))

    def _settled(self, version: str, place: bytes) -> _Head:
        """What the version's hash says of a place, once the batch that is under way, if any, is finished."""
        for number in self._turns():
            asked = [NOTE, place, _BATCHES, _REDO]
            note, position, batches, redo = self._client.hmget(self._hash(version), asked)
            if redo is None:
                return _Head(note, int(position or 0), int(batches or 0))
            if number < _PATIENCE:
                continue
            content = self._client.get(redo)
            if content is not None:
                self._write_rows(version, redo, _parsed(content))
            elif self._client.hget(self._hash(version), _REDO) == redo:
                raise StoreError(
                    "the online store lost states of events that were being written: run 'llactr materialize --force'"
                )
        raise AssertionError("turns end by returning or raising")

    def _rows(
        self,
        version: str,
        before: Mapping[EntityOwner, Mapping[str, bytes | None]],
        changed: Mapping[EntityOwner, Sequence[StateRow]],
        row: bytes | None,
    ) -> list[_Row]:
        """The rows that a batch writes, that of changes last."""
        found = []
        for owner, rows in changed.items():
            field, time_field = self._fields[owner]
            for key, one in zip(self._keys(owner, version, [one.key for one in rows]), rows, strict=True):
                old = before[owner][one.key]
                stored = None if old is None else self._tables.value(old)
                stamp = Timestamp(seconds=one.moment_us // 1_000_000).SerializeToString()
                found.append(_Row(key, field, _digest(stored), self._tables.value(one.state), time_field, stamp))
        if changed.get("item"):
            field, time_field = self._changes_fields
            value = self._tables.changed(row, changed)
            found.append(_Row(self._changes_key(version), field, _digest(row), value, time_field, NO_TIME))
        return found

    def _agreed(self, version: str, place: bytes, head: _Head, end: int, rows: list[_Row]) -> bool:
        """Has a batch count and writes it; False where another one came first."""
        redo = self._hash(version) + b":redo:" + uuid.uuid4().hex.encode()
        self._client.set(redo, _packed(rows), ex=_KEPT_S)
        values = [place, head.note or b"", head.position, end, head.batches, redo]
        if not self._run(_AGREE, version, values):
            self._client.delete(redo)
            return False
        self._write_rows(version, redo, rows)
        return True

    def _write_rows(self, version: str, redo: bytes, rows: Sequence[_Row]) -> None:
        """Writes a batch that counts, which others may be writing as well, and takes its name off the hash."""
        changes = self._changes_key(version)
        for some in ([row for row in rows if row.key != changes], [row for row in rows if row.key == changes]):
            if not all(self._written(some)) and self._client.hget(self._hash(version), _REDO) == redo:
                raise StoreError(
                    "a state of history is neither the one that events were added to nor the one after them: a node "
                    "of the Redis cluster came back older than it was: run 'llactr materialize --force'"
                )
        self._run(_DONE, version, [redo])
        self._client.delete(redo)

    def _written(self, rows: Sequence[_Row]) -> list[int]:
        if not rows:
            return []
        with self._client.pipeline(transaction=False) as pipe:
            for key, *values in rows:
                pipe.execute_command("EVAL", _WRITE, 1, key, *values)
            found: list[int] = pipe.execute()
        return found


def _digest(value: bytes | None) -> bytes:
    return sha1(value or b"", usedforsecurity=False).hexdigest().encode()


def _packed(rows: Iterable[_Row]) -> bytes:
    """Rows as bytes: each part behind its size, 4 bytes, little-endian."""
    return b"".join(_SIZE.pack(len(part)) + part for row in rows for part in row)


def _parsed(content: bytes) -> list[_Row]:
    parts, at = [], 0
    while at < len(content):
        start = at + _SIZE.size
        at = start + _SIZE.unpack_from(content, at)[0]
        parts.append(content[start:at])
    each = len(_Row._fields)
    return [_Row(*parts[n : n + each]) for n in range(0, len(parts), each)]
