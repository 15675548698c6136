"""States of items, decoded and kept between requests, as long as the store says that they have not changed.

Letters: K states, B bytes of a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from llactr.history.layout import NEVER
from llactr.store.events.changes import Changes

__all__ = ["KeptStates", "States"]

_MOST_BYTES = 64 << 20
_BYTES_A_KEY = 250
"""Of a key's entries beside its record, estimated."""


class States:
    """States of K items with all that is pending, and from when on they are that.

    Attributes:
        records: (K, B) uint8.
        after: (K,) microseconds; as of a moment that is not later, a state has to be made of its bytes.
        hashes: (K,) uint64, of the items' keys.
        contents: (K,) the bytes of each; None for an item without events, and where nothing is pending.
    """

    def __init__(self, count: int, record_bytes: int) -> None:
        self.records = np.empty((count, record_bytes), np.uint8)
        self.after = np.full(count, NEVER)
        self.hashes = np.empty(count, np.uint64)
        self.contents = np.full(count, None, object)


class KeptStates:
    """Item -> its state. At most so many, and 64 MB with all that belongs to them; the oldest makes room.

    Attributes:
        changes: what the store said of changes when the states were looked at last; None where it says nothing.

    Args:
        capacity: states at most.
        record_bytes: B.
        ttl_s: how long a state may be used where the store does not say what has changed; 0 for not at all.
    """

    def __init__(self, *, capacity: int, record_bytes: int, ttl_s: float) -> None:
        self._capacity = min(capacity, max(_MOST_BYTES // (record_bytes + _BYTES_A_KEY), 1))
        self._record_bytes = record_bytes
        self._ttl_s = ttl_s
        self.clear()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def size_bytes(self) -> int:
        """Estimated memory."""
        return len(self._places) * (self._record_bytes + _BYTES_A_KEY) + self._content_bytes

    def clear(self) -> None:
        """Forgets all."""
        self.changes: Changes | None = None
        self._places: dict[str, int] = {}
        self._keys: dict[int, str] = {}
        self._content_bytes = 0
        self._free: list[int] = []
        self._records = np.empty((0, self._record_bytes), np.uint8)
        self._after, self._hashes = np.empty(0, np.int64), np.empty(0, np.uint64)
        self._read_s, self._contents = np.empty(0), np.empty(0, object)

    def get(self, keys: Sequence[str], *, now_s: float) -> tuple[States, list[int], float]:
        """Copies of the states of K keys, the places of those that have to be read, and the age of the oldest kept."""
        states = States(len(keys), self._record_bytes)
        if not self._places:
            return states, list(range(len(keys))), 0.0
        find = self._places.get
        places = np.array([find(key, -1) for key in keys], np.int64)
        usable = places >= 0
        if self.changes is None:
            usable &= now_s - self._read_s[places] <= self._ttl_s
        everything = bool(usable.all())
        places = places if everything else places[usable]
        for name in ("records", "after", "hashes", "contents"):
            kept = getattr(self, f"_{name}")[places]
            if everything:
                setattr(states, name, kept)
            else:
                getattr(states, name)[usable] = kept
        missing = [] if everything else np.flatnonzero(~usable).tolist()
        age_s = 0.0 if self.changes is not None or not len(places) else now_s - float(self._read_s[places].min())
        return states, missing, age_s

    def put(self, keys: Sequence[str], states: States, at: Iterable[int], *, read_at_s: float) -> None:
        """Keeps the states at some places, which were read after `changes`."""
        for number in at:
            key, content = keys[number], states.contents[number]
            self._forget(key)
            while len(self._places) >= self._capacity or (self._places and self.size_bytes > _MOST_BYTES):
                self._forget(next(iter(self._places)))
            place = self._place()
            self._places[key], self._keys[int(states.hashes[number])] = place, key
            self._records[place], self._after[place] = states.records[number], states.after[number]
            self._hashes[place], self._read_s[place] = states.hashes[number], read_at_s
            self._contents[place] = content if states.after[number] != NEVER else None
            self._content_bytes += len(self._contents[place] or b"")

    def saw(self, changes: Changes | None) -> bool:
        """Takes what the store says of changes now; returns whether states read with it may be kept."""
        known = self.changes
        if changes is None or known is None:
            if changes is not known:
                self.clear()
                self.changes = changes
            return changes is not None or self._ttl_s > 0
        if changes == known:
            return True
        if changes.era == known.era and changes.count < known.count:
            return False  # it was asked before another request, whose answer came first
        items = changes.since(known)
        if items is None:
            self.clear()
        else:
            self.forget(self._keys[one] for one in set(items) if one in self._keys)
        self.changes = changes
        return True

    def forget(self, keys: Iterable[str]) -> None:
        """Reads these again."""
        for key in list(keys):
            self._forget(key)

    def _forget(self, key: str) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._keys.pop(int(self._hashes[place]), None)
            self._content_bytes -= len(self._contents[place] or b"")
            self._free.append(place)

    def _place(self) -> int:
        if not self._free:
            old = len(self._after)
            more = min(max(2 * old, 1024), self._capacity) - old
            self._records = np.concatenate([self._records, np.empty((more, self._record_bytes), np.uint8)])
            self._after = np.concatenate([self._after, np.empty(more, np.int64)])
            self._hashes = np.concatenate([self._hashes, np.empty(more, np.uint64)])
            self._read_s = np.concatenate([self._read_s, np.empty(more)])
            self._contents = np.concatenate([self._contents, np.full(more, None, object)])
            self._free = list(range(old + more - 1, old - 1, -1))
        return self._free.pop()
