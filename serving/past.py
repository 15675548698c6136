"""History of a batch: which states are read with the other features, and the numbers that the model reads of them.

A user's state is read for every request. Items' states are kept for `freshness_s`: one that an event changes in this
process is forgotten at once, one that another process changes is read again after that time.

Letters: N rows, H history fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from llactr.errors import StoreError
from llactr.history import HistoryDefinition, features, key_hashes, states_from_bytes
from llactr.history.encoding import decode
from llactr.history.fingerprints import event_totals
from llactr.serving.batch import Batch
from llactr.serving.metrics import ScoringMetrics
from llactr.serving.readers.base import LostRowsError
from llactr.serving.recent import ItemNames, recent_events
from llactr.serving.views import Row, ViewRead, history_views
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store.feast.messages import Value

__all__ = ["Past", "PastStates", "StateCache"]

_OWNERS: tuple[EntityOwner, ...] = ("user", "item")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HASHES = 200_000
"""Of items' keys, at most so many are kept."""


class StateCache:
    """Key -> its state's bytes, None for one without events; the oldest entry makes room.

    Args:
        capacity: states at most.
        ttl_s: how long one may be used; 0 keeps nothing.
    """

    def __init__(self, *, capacity: int, ttl_s: float) -> None:
        self._capacity = capacity if ttl_s else 0
        self._ttl_s = ttl_s
        self._kept: dict[str, tuple[float, bytes | None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str, *, now_s: float) -> tuple[float, bytes | None] | None:
        """When a key's state was read, and the state; None where it has to be read."""
        found = self._kept.get(key)
        return None if found is None or now_s - found[0] > self._ttl_s else found

    def put(self, key: str, content: bytes | None, *, read_at_s: float) -> None:
        """Keeps what was read."""
        if not self._capacity:
            return
        self._kept.pop(key, None)
        if len(self._kept) >= self._capacity:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (read_at_s, content)

    def forget(self, keys: Iterable[str]) -> None:
        """Reads these again."""
        for key in keys:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Forgets all."""
        self._kept = {}


class PastStates:
    """The states of one batch, as far as they are known.

    Attributes:
        states: owner -> one per key of the batch.
        wanted: owner -> places of the keys that are to be read.
        age_s: of the oldest cached one.
        item_totals: (N, 2) float64, events and clicks of each row's item that its numbers were made of, once they are.
    """

    def __init__(self, batch: Batch) -> None:
        self.states: dict[EntityOwner, list[bytes | None]] = {
            owner: [None] * len(batch.keys[owner]) for owner in _OWNERS
        }
        self.wanted: dict[EntityOwner, list[int]] = {}
        self.age_s = 0.0
        self.item_totals: NDArray[np.float64] | None = None

    @property
    def users(self) -> list[bytes | None]:
        """One state per user of the batch; None for one without events."""
        return self.states["user"]

    @property
    def cached(self) -> bool:
        """Whether some of it came out of the cache."""
        return len(self.wanted["item"]) < len(self.states["item"])


class Past:
    """Reads states and gives history numbers. Runs in the event loop, and awaits nothing.

    Args:
        spec: of the bundle.
        definition: of the bundle's history.
        metrics: counts.
        freshness_s: see `StateCache`.
        capacity: items' states kept at most.
        names: of items, for `recent`.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        definition: HistoryDefinition,
        *,
        metrics: ScoringMetrics,
        freshness_s: float,
        capacity: int,
        names: ItemNames,
    ) -> None:
        self.definition = definition
        self.cache = StateCache(capacity=capacity, ttl_s=freshness_s)
        self.views = history_views(spec, definition.version)
        self._metrics = metrics
        self._names = names
        self._hashes: dict[str, int] = {}

    def begin(self, batch: Batch, *, now_s: float) -> PastStates:
        """What the cache has of a batch's states, and which are to be read."""
        past = PastStates(batch)
        past.wanted["user"] = list(range(len(batch.keys["user"])))
        missing: list[int] = []
        known, oldest = past.states["item"], now_s
        for place, key in enumerate(batch.keys["item"]):
            found = self.cache.get(key, now_s=now_s)
            if found is None:
                missing.append(place)
            else:
                oldest = min(oldest, found[0])
                known[place] = found[1]
        past.wanted["item"] = missing
        past.age_s = now_s - oldest
        return past

    def asked(self, batch: Batch, past: PastStates) -> list[tuple[ViewRead, Sequence[str]]]:
        """The views and keys to read, for `filled`."""
        return [
            (self.views[owner], [batch.keys[owner][place] for place in places])
            for owner, places in past.wanted.items()
            if places
        ]

    def filled(self, batch: Batch, past: PastStates, found: Sequence[Sequence[Row]], *, now_s: float) -> None:
        """Takes what was read, in the order of `asked`.

        Raises:
            LostRowsError: a state cannot be read.
        """
        owners = [owner for owner, places in past.wanted.items() if places]
        for owner, rows in zip(owners, found, strict=True):
            for place, row in zip(past.wanted[owner], rows, strict=True):
                content = _content(row, owner)
                past.states[owner][place] = content
                if owner == "item":
                    self.cache.put(batch.keys[owner][place], content, read_at_s=now_s)
        self._metrics.history_states.labels("read").inc(sum(map(len, past.wanted.values())))
        kept = len(past.states["item"]) - len(past.wanted["item"])
        if kept:
            self._metrics.history_states.labels("cached").inc(kept)
        self._metrics.history_age.observe(past.age_s)

    def numbers(self, batch: Batch, past: PastStates) -> NDArray[np.float32]:
        """(N, H) history numbers, NaN where there is nothing to say.

        Raises:
            LostRowsError: a state is damaged, or of another definition.
        """
        moments = _microseconds(batch.moments)
        try:
            if len(batch.moments) == 1 and not batch.places.get("user") and len(batch.keys["user"]) == 1:
                return self._of_one(batch, past, int(moments[0]))
            return self._of_rows(batch, past, np.broadcast_to(moments, (batch.rows,)))
        except StoreError as error:
            raise LostRowsError(str(error), owner="history", rows=1) from None

    def recent(self, past: PastStates, moment: datetime) -> list[dict[str, Any]]:
        """The last events of the one user of a batch whose numbers were made, as `recent_events` has them."""
        content, now = past.states["user"][0], int(_microseconds([moment])[0])
        return recent_events(self.definition, content, now, lambda hashes: self._names.of(hashes, self._hashes))

    def _of_one(self, batch: Batch, past: PastStates, now: int) -> NDArray[np.float32]:
        """One user's candidates at one moment."""
        definition = self.definition
        users = states_from_bytes(definition, definition.user, past.states["user"], now)
        items = states_from_bytes(definition, definition.item, past.states["item"], now)
        past.item_totals = event_totals(items)
        return features(definition, users, items, self._hashed(batch.keys["item"]), now)

    def _of_rows(self, batch: Batch, past: PastStates, moments: NDArray[np.int64]) -> NDArray[np.float32]:
        definition = self.definition
        places: dict[EntityOwner, NDArray[np.int64]] = {}
        for owner in _OWNERS:
            given = batch.places.get(owner)
            every = np.arange(batch.rows) if len(batch.keys[owner]) == batch.rows else np.zeros(batch.rows, np.int64)
            places[owner] = every if given is None else given
        users = decode(definition, definition.user, past.states["user"])
        items = decode(definition, definition.item, past.states["item"])
        of_items = items.as_of(definition, definition.item, places["item"], moments)
        past.item_totals = event_totals(of_items)
        return features(
            definition,
            users.as_of(definition, definition.user, places["user"], moments),
            of_items,
            self._hashed(batch.keys["item"])[places["item"]],
            moments,
        )

    def _hashed(self, keys: Sequence[str]) -> NDArray[np.uint64]:
        """Hashes of keys, each made once."""
        known = self._hashes
        try:
            return np.array([known[key] for key in keys], np.uint64)
        except KeyError:
            new = [key for key in dict.fromkeys(keys) if key not in known]
            if len(known) + len(new) > _HASHES:
                known.clear()
                new = list(dict.fromkeys(keys))
            known.update(zip(new, key_hashes(new).tolist(), strict=True))
        return np.array([known[key] for key in keys], np.uint64)

    def pushed(self, items: Iterable[str]) -> None:
        """An event of this process changed the states of some items."""
        self.cache.forget(items)


def _content(row: Row, owner: EntityOwner) -> bytes | None:
    """The state that a stored row holds."""
    if row is None or row[0] is None:
        return None
    try:
        content: bytes = Value.FromString(row[0]).bytes_val
    except DecodeError:
        content = b""
    if not content:
        raise LostRowsError(
            f"a state of the {owner}s' history in the online store is damaged: run 'llactr materialize --force'",
            owner="history",
            rows=1,
        )
    return content


def _microseconds(moments: Sequence[datetime]) -> NDArray[np.int64]:
    """Exact: a float of seconds is not."""
    return np.array([(moment - _EPOCH) // _MICROSECOND for moment in moments], np.int64)
