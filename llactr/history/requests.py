"""History fields of requests, from states wherever they are kept: the door of the online store, and of its check.

Legend: N rows, H history fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llactr.history.definition import HistoryDefinition
from llactr.history.encoding import Pending
from llactr.history.events import Events, key_hashes
from llactr.history.features import features
from llactr.history.online import KeyState
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
    known = {"user": _states(definition, read, "user", users), "item": _states(definition, read, "item", items)}
    hashes = key_hashes(["" if item is None else item for item in items])
    pieces = [np.empty((0, len(definition.spec.fields)), np.float32)]
    for start in range(0, len(items), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        of_users = _as_of(known["user"], users[rows], now[rows])
        of_items = _as_of(known["item"], items[rows], now[rows])
        pieces.append(features(definition, of_users, of_items, hashes[rows], now[rows]))
    return np.concatenate(pieces)


def states_of_events(definition: HistoryDefinition, events: Events) -> ReadStates:
    """The states that pushing some events one by one would have left, without a store."""

    def read(owner: Literal["user", "item"], keys: Sequence[str]) -> list[bytes | None]:
        hashes = key_hashes(keys)
        found = {key: state.to_bytes() for key, state in newest_states(definition, events, owner=owner, keys=hashes)}
        return [found.get(int(key)) for key in hashes]

    return read


def _states(
    definition: HistoryDefinition, read: ReadStates, owner: Literal["user", "item"], keys: Sequence[str | None]
) -> dict[str | None, KeyState]:
    layout = definition.user if owner == "user" else definition.item
    empty = KeyState.empty(definition, layout)
    distinct = list(dict.fromkeys(key for key in keys if key is not None))
    found: dict[str | None, KeyState] = {None: empty}
    for key, content in zip(distinct, read(owner, distinct) if distinct else (), strict=True):
        found[key] = empty if content is None else KeyState.from_bytes(definition, layout, content)
    return found


def _as_of(known: dict[str | None, KeyState], keys: Sequence[str | None], now: NDArray[np.int64]) -> KeyStates:
    """Each row's state as of its moment; states without pending events are the same at any."""
    states: list[KeyStates] = []
    places: dict[tuple[str | None, int], int] = {}
    of_rows = np.empty(len(keys), np.int64)
    for row, (key, moment) in enumerate(zip(keys, now.tolist(), strict=True)):
        state = known[key]
        pending: Pending = state.pending
        asked = (key, moment if pending else 0)
        if asked not in places:
            places[asked] = len(states)
            states.append(state.at(moment))
        of_rows[row] = places[asked]
    return KeyStates.stack(states).take(of_rows)
