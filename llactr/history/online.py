"""The state of one key as an online store keeps it, and the push of an event.

Legend: K states, P pending events, N last events.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llactr.history.compiled.folding import fold
from llactr.history.definition import HistoryDefinition
from llactr.history.encoding import Pending, PendingEvent, decode, encode
from llactr.history.events import Event
from llactr.history.layout import StateLayout
from llactr.history.states import KeyStates

__all__ = ["KeyState", "Pushed", "push", "states_from_bytes"]


@dataclass(frozen=True)
class KeyState:
    """What is folded in, and the events that may not be known yet at the newest moment that was pushed.

    Attributes:
        definition: of the dataset.
        layout: `definition.user` or `definition.item`.
        folded: K is 1; never changed in place.
        pending: P events in the order of time.
    """

    definition: HistoryDefinition
    layout: StateLayout
    folded: KeyStates
    pending: Pending

    @classmethod
    def empty(cls, definition: HistoryDefinition, layout: StateLayout) -> KeyState:
        """The state of a key that nothing is known of."""
        return cls(definition, layout, KeyStates.empty(definition, layout, 1), ())

    @classmethod
    def from_bytes(cls, definition: HistoryDefinition, layout: StateLayout, content: bytes) -> KeyState:
        """The state that `to_bytes` gave.

        Raises:
            StoreError: the bytes are no state, are cut off, or belong to another definition.
        """
        decoded = decode(definition, layout, [content])
        return cls(definition, layout, decoded.states, decoded.pending_of(0))

    @property
    def newest(self) -> int:
        """Time of the newest event, pending ones included; the smallest int64 without any."""
        folded = int(self.folded.records["newest"][0])
        return max(folded, self.pending[-1].time) if self.pending else folded

    def to_bytes(self) -> bytes:
        """The compact encoding; see `llactr.history.encoding`."""
        return encode(self.layout, self.folded, self.pending)

    def at(self, now: int) -> KeyStates:
        """The state (K is 1) as of `now`: with the events that are known strictly before it.

        `now` must not lie before the newest event that was pushed: what is folded in stays in.
        """
        return self._known_before(now).folded

    def holds(self, other: int, time: int) -> bool:
        """Whether the event of that other key and time is pending or among the last N."""
        if any(event.other == other and event.time == time for event in self.pending):
            return True
        listed = min(int(self.folded.count[0]), self.layout.last)
        same = self.folded.items[0, :listed] == np.uint64(other)
        return bool((same & (self.folded.times[0, :listed] == time)).any())

    def add(self, other: int, time: int, value: float) -> KeyState:
        """The state with one more event; those that are known strictly before it are folded in."""
        at = bisect_right(self.pending, time, key=_time)
        pending = (*self.pending[:at], PendingEvent(other, time, value), *self.pending[at:])
        return KeyState(self.definition, self.layout, self.folded, pending)._known_before(time)

    def _known_before(self, now: int) -> KeyState:
        """With the pending events folded in that are known strictly before a moment."""
        count = 0
        while count < len(self.pending) and self.pending[count].time + self.layout.delay_us < now:
            count += 1
        if not count:
            return self
        folded = KeyStates(self.folded.records.copy())
        record, plan = folded.bytes[0], self.definition.plan(self.layout)
        for event in self.pending[:count]:
            fold(record, plan, event.time, np.uint64(event.other), np.float32(event.value))
        return KeyState(self.definition, self.layout, folded, self.pending[count:])


def states_from_bytes(
    definition: HistoryDefinition, layout: StateLayout, contents: Sequence[bytes | None], now: int
) -> KeyStates:
    """K states as of `now` at once, such as a request's candidates; None stands for a key without events.

    The same as `KeyStates.stack([KeyState.from_bytes(...).at(now), ...])`.

    Raises:
        StoreError: some bytes are no state, are cut off, or belong to another definition.
    """
    places, moments = np.arange(len(contents)), np.full(len(contents), now, np.int64)
    return decode(definition, layout, contents).as_of(definition, layout, places, moments)


def _time(event: PendingEvent) -> int:
    return event.time


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
    known = item._known_before(event.time)  # what `add` folds in, too: once is enough
    count, clicks = known.folded.sums[0, 0].tolist()
    residual = float(np.float32(event.outcome - definition.rate(clicks, count)))
    return Pushed(
        user.add(event.item, event.time, residual), known.add(event.user, event.time, float(event.outcome)), True
    )
