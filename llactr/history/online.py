"""The state of one key as an online store keeps it, and the push of an event.

Legend: P pending events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.history.definition import HistoryDefinition, StateLayout
from llactr.history.encoding import Pending, decode, encode
from llactr.history.events import Event
from llactr.history.states import KeyStates, fold

__all__ = ["KeyState", "Pushed", "push"]


@dataclass(frozen=True)
class KeyState:
    """What is folded in, and the events that may not be known yet at the newest moment that was pushed.

    Attributes:
        definition: of the dataset.
        layout: `definition.user` or `definition.item`.
        folded: K is 1; never changed in place.
        pending: others, times and values (P,), in the order of time.
    """

    definition: HistoryDefinition
    layout: StateLayout
    folded: KeyStates
    pending: Pending

    @classmethod
    def empty(cls, definition: HistoryDefinition, layout: StateLayout) -> KeyState:
        """The state of a key that nothing is known of."""
        nothing = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float32))
        return cls(definition, layout, KeyStates.empty(definition, layout, 1), nothing)

    @classmethod
    def from_bytes(cls, definition: HistoryDefinition, layout: StateLayout, content: bytes) -> KeyState:
        """The state that `to_bytes` gave.

        Raises:
            StoreError: the bytes are no state, are cut off, or belong to another definition.
        """
        return cls(definition, layout, *decode(definition, layout, content))

    def to_bytes(self) -> bytes:
        """The compact encoding; see `llactr.history.encoding`."""
        return encode(self.layout, self.folded, 0, self.pending)

    def at(self, now: int) -> KeyStates:
        """The state (K is 1) as of `now`: with the events that are known strictly before it.

        `now` must not lie before the newest event that was pushed: what is folded in stays in.
        """
        _, times, _ = self.pending
        return self._with(int(np.searchsorted(times, now - self.layout.delay_us, side="left"))).folded

    def holds(self, other: int, time: int) -> bool:
        """Whether the event of that other key and time is pending or among the last N."""
        others, times, _ = self.pending
        listed = min(int(self.folded.count[0]), self.layout.last)
        return bool(
            ((others == other) & (times == time)).any()
            or ((self.folded.items[0, :listed] == other) & (self.folded.times[0, :listed] == time)).any()
        )

    def add(self, other: int, time: int, value: float) -> KeyState:
        """The state with one more event; those that are known strictly before it are folded in."""
        others, times, values = self.pending
        at = int(np.searchsorted(times, time, side="right"))
        pending = (
            np.insert(others, at, np.uint64(other)),
            np.insert(times, at, np.int64(time)),
            np.insert(values, at, np.float32(value)),
        )
        grown = KeyState(self.definition, self.layout, self.folded, pending)
        return grown._with(int(np.searchsorted(pending[1], time - self.layout.delay_us, side="left")))

    def _with(self, count: int) -> KeyState:
        """With the first pending events folded in."""
        if not count:
            return self
        folded = self.folded.take(np.zeros(1, np.int64))
        others, times, values = self.pending
        for at in range(count):
            one = slice(at, at + 1)
            fold(self.definition, self.layout, folded, time=times[one], other=others[one], value=values[one])
        left: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float32]]
        left = (others[count:], times[count:], values[count:])
        return KeyState(self.definition, self.layout, folded, left)


@dataclass(frozen=True)
class Pushed:
    """Both states after an event. `counted` is False for a repeated one: the states are as they were."""

    user: KeyState
    item: KeyState
    counted: bool


def push(definition: HistoryDefinition, user: KeyState, item: KeyState, event: Event) -> Pushed:
    """Adds an event to the states of its user and its item.

    Cost: O(d^2) for each source of vectors.

    Args:
        definition: of the dataset.
        user: of the event's user.
        item: of the event's item.
        event: what happened.
    """
    if user.holds(event.item, event.time):
        return Pushed(user, item, False)
    pair = item.at(event.time).sums[:, 0].astype(np.float64)
    residual = np.float32(event.outcome) - definition.rate(pair[:, 1], pair[:, 0])
    return Pushed(
        user.add(event.item, event.time, float(residual[0])), item.add(event.user, event.time, event.outcome), True
    )
