"""History fields of requests, from states wherever they are kept: the door of the online store, and of its check.

Legend: N rows, H history fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llactr.history.definition import HistoryDefinition
from llactr.history.encoding import decode
from llactr.history.events import Events, key_hashes
from llactr.history.features import features
from llactr.history.snapshots import newest_states
from llactr.history.states import KeyStates

__all__ = ["ReadStates", "request_history", "states_of_events"]

ReadStates = Callable[[Literal["user", "item"], Sequence[str]], Sequence[bytes | None]]
"""From an owner and distinct keys to the bytes of their states (`KeyState.to_bytes`), in that order; None for a key
without a state. The states are those of one definition: a reader is bound to its version."""

_ROWS_AT_ONCE = 2048


def request_history(
    definition: HistoryDefinition,
    read: ReadStates,
    *,
    users: Sequence[str | None],
    items: Sequence[str | None],
    now: NDArray[np.int64],
) -> NDArray[np.float32]:
    """History fields of rows (N, H) float32 as a service computes them; NaN where there is nothing to say.

    Each key is read once, in one call an owner. A state that has newer events than a row's moment gives them to the
    row as well: what is folded in stays in.

    Args:
        definition: of the bundle.
        read: its states.
        users: N keys; None for a row without one.
        items: N keys.
        now: (N,) the rows' moments in microseconds.

    Raises:
        StoreError: a state is damaged or of another definition, or the store does not answer.
    """
    known = {"user": _Known(definition, read, "user", users), "item": _Known(definition, read, "item", items)}
    hashes = key_hashes(["" if item is None else item for item in items])
    pieces = [np.empty((0, len(definition.spec.columns)), np.float32)]
    for start in range(0, len(items), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        of_users, of_items = (known[owner].as_of(rows, now[rows]) for owner in ("user", "item"))
        pieces.append(features(definition, of_users, of_items, hashes[rows], now[rows]))
    return np.concatenate(pieces)


def states_of_events(definition: HistoryDefinition, events: Events) -> ReadStates:
    """The states that pushing some events one by one would have left, without a store."""

    def read(owner: Literal["user", "item"], keys: Sequence[str]) -> list[bytes | None]:
        hashes = key_hashes(keys)
        found = {key: state.to_bytes() for key, state in newest_states(definition, events, owner=owner, keys=hashes)}
        return [found.get(int(key)) for key in hashes]

    return read


class _Known:
    """The states of the rows' keys, each read once."""

    def __init__(
        self,
        definition: HistoryDefinition,
        read: ReadStates,
        owner: Literal["user", "item"],
        keys: Sequence[str | None],
    ) -> None:
        self._definition, self._owner = definition, owner
        self._layout = definition.user if owner == "user" else definition.item
        distinct = {key: at for at, key in enumerate(dict.fromkeys(key for key in keys if key is not None))}
        contents: list[bytes | None] = list(read(owner, list(distinct)) if distinct else ())
        self._decoded = decode(definition, self._layout, [*contents, None])
        self._places = np.array([len(distinct) if key is None else distinct[key] for key in keys], np.int64)

    def as_of(self, rows: slice, now: NDArray[np.int64]) -> KeyStates:
        """The states of some rows as of their moments; a user's is one, where the rows have one user and moment."""
        places = self._places[rows]
        if self._owner == "user" and len(places) and (places == places[0]).all() and (now == now[0]).all():
            places, now = places[:1], now[:1]
        return self._decoded.as_of(self._definition, self._layout, places, now)
