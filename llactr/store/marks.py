"""Marks of materialization in the online store: which views are whole, of which run, and which keys they hold.

A row of a view says nothing of the others: a store that was emptied, that is being filled, whose filling was killed, or
that evicts, looks like one that has never heard of an entity. So each view has a mark beside it in the online store:

- before a view is written its mark says which run is under way; what it held before stays readable;
- after all views are written each gets its keys and then, last of all, the mark of the run.

A view without a finished mark must not be scored from. A key that the mark's keys hold and the store does not was lost;
one that they do not hold has never been there. The marks are rows of a Feast feature view that is not registered: no
offline table stands behind it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from feast import Entity, FeatureView, FileSource, ValueType
from feast import Field as Feature
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.types import Bytes, String
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP
from llactr.errors import StoreError
from llactr.store.keysets import KeySet

__all__ = [
    "MARKS",
    "MARK_KEY",
    "SAMPLE_KEYS",
    "Mark",
    "Marks",
    "eviction_said",
    "is_marked_elsewhere",
    "marked_elsewhere",
    "marks_view",
    "new_run",
    "parse_prints",
    "part_key",
    "parts_digest",
]

MARKS = "materialization"
MARK_KEY = "materialized_view"
_PART_KEYS = 50_000
SAMPLE_KEYS = 200


@dataclass(frozen=True)
class Mark:
    """What the online store says of one view.

    Attributes:
        run: the run that wrote the view whole; empty before the first one has ended.
        writing: the run that is under way, or was killed; empty for none.
        rows: keys online after `run`; None where the engine could not say.
        parts: in how many pieces the keys are stored.
        digest: of all fingerprints.
    """

    run: str = ""
    writing: str = ""
    rows: int | None = None
    parts: int = 0
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Mark | None:
        """The mark that a text holds; None where it is none of ours."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None


def new_run() -> str:
    """A name for a materialization."""
    return uuid.uuid4().hex[:12]


def eviction_said(facts: Mapping[str, Any], *, has_ttl: bool) -> str:
    """What a Redis server's `INFO memory` means for what is online; empty when it keeps everything."""
    policy, limit = str(facts.get("maxmemory_policy", "noeviction")), int(facts.get("maxmemory", 0))
    if not limit or policy == "noeviction" or (policy.startswith("volatile") and not has_ttl):
        return ""
    return (
        f"Redis evicts rows when its memory is full (maxmemory {limit:,} bytes, maxmemory-policy {policy}): requests "
        "for rows that it has evicted are refused; set maxmemory-policy noeviction, or give it memory enough"
    )


_OUTSIDE = threading.local()


@contextmanager
def marked_elsewhere() -> Iterator[None]:
    """Within the block, in this thread, an engine need not mark what it writes: the caller does."""
    _OUTSIDE.active = True
    try:
        yield
    finally:
        _OUTSIDE.active = False


def is_marked_elsewhere() -> bool:
    """Whether a caller up the stack marks what is written."""
    return bool(getattr(_OUTSIDE, "active", False))


def part_key(view: str, part: int | str) -> str:
    """The key under which a piece of a view's keys is stored; `sample` for some keys spread over all."""
    return f"{view}#{part}"


@cache
def marks_view() -> FeatureView:
    """The feature view of the marks: `content` of a mark; `keys` and `prints` of a piece of the keys."""
    entity = Entity(name=MARK_KEY, join_keys=[MARK_KEY], value_type=ValueType.STRING)
    return FeatureView(
        name=MARKS,
        entities=[entity],
        schema=[
            Feature(name=MARK_KEY, dtype=String),
            Feature(name="content", dtype=String),
            Feature(name="keys", dtype=Bytes),
            Feature(name="prints", dtype=Bytes),
        ],
        source=FileSource(name=f"{MARKS}__none", path="none.parquet", timestamp_field=EVENT_TIMESTAMP),
    )


def parse_prints(content: bytes) -> NDArray[np.uint64]:
    """(N,) fingerprints as stored."""
    return np.frombuffer(content, np.dtype("<u8")).astype(np.uint64)


def parts_digest(prints: NDArray[np.uint64]) -> str:
    """The digest of a mark."""
    return hashlib.sha256(prints.astype("<u8").tobytes()).hexdigest()[:32]


class Marks:
    """Reads and writes the marks of an online store.

    Args:
        config: the feature store's configuration.
        online_store: Feast's online store.

    Errors are those of the online store, but for the StoreErrors named below.
    """

    def __init__(self, config: RepoConfig, online_store: OnlineStore) -> None:
        self._config = config
        self._store = online_store
        self._view = marks_view()

    def prepare(self) -> None:
        """Makes the place where marks are kept, where there is none."""
        self._store.update(
            config=self._config,
            tables_to_delete=[],
            tables_to_keep=[self._view],
            entities_to_delete=[],
            entities_to_keep=[],
            partial=True,
        )

    def read(self, views: Sequence[str]) -> dict[str, Mark | None]:
        """The marks of some views; None for a view that has none."""
        found = self._read(views, "content")
        return {
            view: Mark.parse(value.string_val) if value is not None else None
            for view, value in zip(views, found, strict=True)
        }

    def begin(self, views: Iterable[str], run: str) -> None:
        """Says that a run is about to write some views."""
        views = list(views)
        now = self.read(views)
        self._write({view: replace(now[view] or Mark(), writing=run) for view in views})

    def complete(self, view: str, run: str, keys: KeySet | None) -> None:
        """Says that a run has written a view whole; the last thing that a materialization writes.

        Args:
            view: the view's name.
            run: as `begin` was told.
            keys: all keys that are online now; None where they are not known.

        Raises:
            StoreError: the store was emptied while it was filled, or does not keep what is written.
        """
        known = self.read([view])[view]
        if known is None or known.writing != run:
            raise StoreError(
                f"the online store lost the mark of {view!r} while it was filled: it was emptied, or another "
                "materialization ran beside this one: run 'llactr materialize' again"
            )
        mark = Mark(run=run)
        if keys is not None:
            mark = replace(mark, rows=len(keys), digest=parts_digest(keys.prints), parts=-(-len(keys) // _PART_KEYS))
            for part in range(mark.parts):
                self._write_part(part_key(view, part), keys.slice(part * _PART_KEYS, _PART_KEYS))
            spread = np.unique(np.linspace(0, max(len(keys) - 1, 0), min(SAMPLE_KEYS, len(keys))).astype(np.int64))
            sample = KeySet(keys.columns.take(pa.array(spread)), keys.prints[spread]) if len(keys) else keys
            self._write_part(part_key(view, "sample"), sample)
            for part in range(mark.parts, known.parts):  # keys of an earlier run, which was larger
                self._write_part(part_key(view, part), KeySet.of(keys.columns.slice(0, 0)))
        self._write({view: mark})
        if self.read([view])[view] != mark:
            raise StoreError(
                f"the online store does not keep the mark of {view!r}: give a Redis store 'skip_dedup: true', and "
                "memory enough for all rows; then run 'llactr materialize' again"
            )

    def keys(self, view: str, mark: Mark | None) -> KeySet | None:
        """The keys that earlier runs brought online; None where nobody can say."""
        if mark is None or not mark.parts:
            return None
        found = self._read([part_key(view, part) for part in range(mark.parts)], "keys")
        tables = [pa.ipc.open_stream(value.bytes_val).read_all() for value in found if value is not None]
        return KeySet.of(pa.concat_tables(tables)) if tables else None

    def sample(self, view: str) -> KeySet | None:
        """Some keys, spread over all that the run brought online; None where there are none."""
        value = self._read([part_key(view, "sample")], "keys")[0]
        return None if value is None else KeySet.of(pa.ipc.open_stream(value.bytes_val).read_all())

    def prints(self, view: str, mark: Mark) -> NDArray[np.uint64] | None:
        """(N,) fingerprints of a view's keys, rising; None where they are not those of the mark."""
        found = self._read([part_key(view, part) for part in range(mark.parts)], "prints")
        pieces = [parse_prints(value.bytes_val) for value in found if value is not None]
        prints = np.concatenate(pieces) if pieces else np.empty(0, np.uint64)
        return prints if parts_digest(prints) == mark.digest else None

    def _write_part(self, key: str, keys: KeySet) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, keys.columns.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
            out.write_table(keys.columns.combine_chunks())
        values = {
            "keys": Value(bytes_val=sink.getvalue().to_pybytes()),
            "prints": Value(bytes_val=keys.prints.astype("<u8").tobytes()),
        }
        self._write_rows([(key, values)])

    def _write(self, marks: Mapping[str, Mark]) -> None:
        self._write_rows(
            [(view, {"content": Value(string_val=json.dumps(asdict(mark)))}) for view, mark in marks.items()]
        )

    def _write_rows(self, rows: Sequence[tuple[str, dict[str, Value]]]) -> None:
        now = datetime.now(UTC)
        data: list[Any] = [(_entity_key(key), values, now, now) for key, values in rows]
        self._store.online_write_batch(self._config, self._view, data, None)

    def _read(self, keys: Sequence[str], feature: str) -> list[Value | None]:
        if not keys:
            return []
        found = self._store.online_read(self._config, self._view, [_entity_key(key) for key in keys], [feature])
        values = [row.get(feature) if row else None for _, row in found]
        return [value if value is not None and value.WhichOneof("val") else None for value in values]


def _entity_key(key: str) -> EntityKey:
    return EntityKey(join_keys=[MARK_KEY], entity_values=[Value(string_val=key)])
