"""A person's last events, out of the state that a request read: which item, when, and what came of it.

A state holds hashes of items' keys. A key is found again among those that training saw and those that were ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llactr.history import HistoryDefinition, key_hashes, states_from_bytes

__all__ = ["ItemNames", "recent_events"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEYS = 200_000
"""Of the keys that training saw, at most so many, the most frequent ones, can be named."""


class ItemNames:
    """Hashes of items' keys -> the keys, as far as they are known.

    Args:
        keys: gives the keys that training saw, the most frequent first; asked once, when the first name is wanted.
    """

    def __init__(self, keys: Callable[[], Sequence[str]]) -> None:
        self._keys = keys
        self._trained: dict[int, str] | None = None

    def of(self, hashes: NDArray[np.uint64], ranked: Mapping[str, int]) -> list[str | None]:
        """The key of each hash; None for one that is not known.

        Args:
            hashes: (N,) of items' keys.
            ranked: key -> hash, of items that were ranked.
        """
        if self._trained is None:
            keys = self._keys()[:_KEYS]
            self._trained = dict(zip(key_hashes(keys).tolist(), keys, strict=True)) if keys else {}
        wanted = hashes.tolist()
        missing = set(wanted) - self._trained.keys()
        others = {found: key for key, found in ranked.items() if found in missing} if missing else {}
        return [self._trained.get(one) or others.get(one) for one in wanted]


def recent_events(
    definition: HistoryDefinition,
    content: bytes | None,
    now: int,
    named: Callable[[NDArray[np.uint64]], list[str | None]],
) -> list[dict[str, Any]]:
    """The events that a user's state holds one by one, known strictly before `now`, newest first.

    Args:
        definition: of the state.
        content: the state's bytes; None for a user without events.
        now: microseconds since 1970, UTC.
        named: hashes of items -> their keys.

    Returns:
        `item` (None where the key is not known), `outcome` 0 or 1, and `timestamp`.

    Raises:
        StoreError: the bytes are no state of this definition.
    """
    layout = definition.user
    state = states_from_bytes(definition, layout, [content], now)
    listed = min(int(state.count[0]), layout.last)
    times = state.times[0, :listed]
    order = np.argsort(-times, kind="stable")
    items = named(state.items[0, :listed][order])
    residuals = state.records["residuals"][0, :listed][order]
    return [
        {"item": item, "outcome": int(residual > 0), "timestamp": _EPOCH + timedelta(microseconds=time)}
        for item, residual, time in zip(items, residuals.tolist(), times[order].tolist(), strict=True)
    ]
