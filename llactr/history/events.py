"""Events: who was shown what, when, and what came of it; and which of them count for a moment.

Legend: N events, R rows (moments of keys).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError
from llactr.history.compiled.folding import spans

__all__ = ["Event", "Events", "events_before", "key_hashes"]


def key_hashes(keys: Iterable[str]) -> NDArray[np.uint64]:
    """(N,) uint64: the first 8 bytes of each key's BLAKE2b, little-endian. Each distinct key is hashed once."""
    known: dict[str, int] = {}
    found = []
    for key in keys:
        value = known.get(key)
        if value is None:
            digest = hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest()
            value = known[key] = int.from_bytes(digest, "little")
        found.append(value)
    return np.array(found, np.uint64)


@dataclass(frozen=True)
class Event:
    """One event: hashes of user and item, microseconds since 1970 in UTC, outcome 0 or 1."""

    user: int
    item: int
    time: int
    outcome: float


@dataclass(frozen=True)
class Events:
    """N events in the order in which they came.

    Attributes:
        user: (N,) uint64, hashes of keys.
        item: (N,) uint64.
        time: (N,) int64, microseconds since 1970 in UTC.
        outcome: (N,) float32, 0 or 1.
    """

    user: NDArray[np.uint64]
    item: NDArray[np.uint64]
    time: NDArray[np.int64]
    outcome: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not self.user.shape == self.item.shape == self.time.shape == self.outcome.shape or self.time.ndim != 1:
            raise DataError("users, items, times and outcomes of events must be equally long: one of each per event")
        if not ((self.outcome == 0) | (self.outcome == 1)).all():
            raise DataError("an event's outcome is neither 0 nor 1: give the spec a label rule with 'above'")

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def of(
        cls,
        users: Iterable[str],
        items: Iterable[str],
        times: NDArray[np.int64],
        outcomes: NDArray[np.float32],
    ) -> Events:
        """Events of text keys; times in microseconds."""
        return cls(key_hashes(users), key_hashes(items), np.asarray(times, np.int64), np.asarray(outcomes, np.float32))

    def take(self, rows: NDArray[np.int64] | slice) -> Events:
        """The events at some places."""
        return Events(self.user[rows], self.item[rows], self.time[rows], self.outcome[rows])

    def counted(self) -> Events:
        """The events that count, in the order of time (ties as they came): of repeated ones the first."""
        order = np.lexsort((np.arange(len(self)), self.item, self.user, self.time))
        user, item, time = self.user[order], self.item[order], self.time[order]
        first = np.ones(len(self), bool)
        first[1:] = (user[1:] != user[:-1]) | (item[1:] != item[:-1]) | (time[1:] != time[:-1])
        if first.all() and (self.time[1:] >= self.time[:-1]).all():
            return self
        kept = np.sort(order[first])
        return self.take(kept[np.argsort(self.time[kept], kind="stable")])


def events_before(
    event_keys: NDArray[np.uint64], known: NDArray[np.int64], row_keys: NDArray[np.uint64], now: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which events of a row's key are known strictly before the row: from the first (R,) to the end (R,).

    Args:
        event_keys: (N,) of events, sorted by key and `known`.
        known: (N,) times from which the events are known.
        row_keys: (R,) of rows, sorted by key and `now`.
        now: (R,) the rows' times.
    """
    first, end = np.empty(len(now), np.int64), np.empty(len(now), np.int64)
    spans(event_keys, known, row_keys, now, first, end)
    return first, end
