"""A bounded cache of item features: ids ready to gather, and the stored values they came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llactr.serving.views import Row

__all__ = ["ItemCache"]


class ItemCache:
    """Item key -> row of ids, for `ttl_s` seconds after it was read; the oldest entry makes room for a new one.

    Only items that the store knows are kept: one that is materialized now is seen by the next request.

    Args:
        capacity: items at most. Memory: capacity x (4 C' bytes + the stored values, about 300 bytes for five fields).
        ttl_s: after how long an entry is read again; 0 keeps nothing.
        width: C', the item's slots.
    """

    def __init__(self, *, capacity: int, ttl_s: float, width: int) -> None:
        self._ttl_s = ttl_s
        self._capacity = capacity if ttl_s else 0
        self._width = width
        self._place: dict[str, int] = {}
        self._keys: list[str | None] = []
        self._rows: list[Row] = []
        self._ids = np.empty((0, width), np.int32)
        self._read_at = np.empty(0, np.float64)
        self._next = 0

    def __len__(self) -> int:
        return len(self._place)

    def lookup(
        self, keys: Sequence[str], *, now_s: float
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_], list[Row], float]:
        """What the cache has of some items.

        Returns:
            (N, C') ids, arbitrary where there is no hit; (N,) whether there is one; the stored rows; and the age in
            seconds of the oldest entry used, 0 when there is none.
        """
        count = len(keys)
        if not self._place:
            return np.empty((count, self._width), np.int32), np.zeros(count, np.bool_), [None] * count, 0.0
        get = self._place.get
        places = np.fromiter([get(key, -1) for key in keys], np.int64, count)
        ages = now_s - self._read_at[places]  # place -1 reads some entry, masked in the next line
        hits = (places >= 0) & (ages <= self._ttl_s)
        rows = self._rows
        found = [rows[place] for place in places.tolist()]
        return self._ids[places], hits, found, float(ages[hits].max()) if hits.any() else 0.0

    def put(self, keys: Sequence[str], rows: Sequence[Row], ids: NDArray[np.int32], *, read_at_s: float) -> None:
        """Keeps what was read of some items."""
        if not self._capacity:
            return
        for position, (key, row) in enumerate(zip(keys, rows, strict=True)):
            if row is None:
                continue
            place = self._place.get(key)
            if place is None:
                place = self._room()
                self._keys[place] = key
                self._place[key] = place
            self._rows[place] = row
            self._ids[place] = ids[position]
            self._read_at[place] = read_at_s

    def clear(self) -> None:
        """Forgets all entries."""
        self._place, self._keys, self._rows, self._next = {}, [], [], 0
        self._ids = np.empty((0, self._width), np.int32)
        self._read_at = np.empty(0, np.float64)

    def entries(self) -> tuple[list[str], list[Row], NDArray[np.float64]]:
        """All keys, their stored rows, and when each was read."""
        places = list(self._place.values())
        return list(self._place), [self._rows[place] for place in places], self._read_at[places]

    def _room(self) -> int:
        """A free place; in a full cache that of the entry that came in first."""
        if len(self._keys) < self._capacity:
            place = len(self._keys)
            self._keys.append(None)
            self._rows.append(None)
            if place >= len(self._ids):
                size = min(self._capacity, max(256, 2 * len(self._ids)))
                self._ids = (
                    np.resize(self._ids, (size, self._width))
                    if len(self._ids)
                    else np.empty((size, self._width), np.int32)
                )
                self._read_at = np.resize(self._read_at, size) if len(self._read_at) else np.empty(size)
            return place
        place = self._next
        self._next = (place + 1) % self._capacity
        key = self._keys[place]
        assert key is not None
        del self._place[key]
        return place
