"""Pushes events: into the log, then into the states of every history version that this process keeps up.

Anybody may apply anybody's part of the log, since a part is applied if and only if the segment's position stands at its
beginning (`StateStore.apply`). So a process applies what it logged, and now and then what others logged and did not
apply: because they died, or keep up other versions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from feast import FeatureStore

from llactr.errors import NotReadyError, StoreError
from llactr.history import NEWER_ITEMS, Event, HistoryDefinition, KeyState, NewerItems, key_hashes, push
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store.events.base import OWNERS, StateRow, StateStore
from llactr.store.events.choice import state_store
from llactr.store.events.known_states import KnownStates
from llactr.store.events.log import EventLog, Frame, LoggedEvent
from llactr.store.history import newest_moment
from llactr.workspace import Workspace

__all__ = ["Pushed", "Pusher"]

_LOG = logging.getLogger(__name__)
_FRAMES_TOGETHER = 2000


@dataclass(frozen=True)
class Pushed:
    """What became of pushed events.

    Attributes:
        events: how many were logged.
        counted: which of them count; the others were there already. None where another process applied them, or no
            states are kept up.
    """

    events: int
    counted: list[bool] | None


class Pusher:
    """Logs events and keeps states up. For one thread at a time.

    Args:
        workspace: where the log is.
        spec: of the dataset.
        store: the feature store.
        definitions: history version -> definition of the states to keep up.
        states: the online store's states, by default those of `store`.
    """

    def __init__(
        self,
        workspace: Workspace,
        spec: DatasetSpec,
        store: FeatureStore,
        definitions: Mapping[str, HistoryDefinition],
        *,
        states: StateStore | None = None,
    ) -> None:
        self.definitions = dict(definitions)
        self.log = EventLog(workspace, spec.name)
        self._states = state_store(store, spec) if states is None else states
        self._writer = self.log.writer()
        self._known: dict[str, tuple[bytes | None, HistoryDefinition, HistoryDefinition]] = {}
        self._at_hand = KnownStates()

    def require_online(self) -> None:
        """Refuses versions whose states are not online whole.

        Raises:
            NotReadyError: one is not.
            StoreError: the store does not answer.
        """
        for version in self.definitions:
            note = self._states.filled(version)
            if note is None or not note.whole:
                raise NotReadyError(
                    f"the history of version {version} is not online as a whole: run 'llactr materialize'"
                )

    def push(self, events: Sequence[LoggedEvent]) -> Pushed:
        """Logs events and applies them; when it returns they are on the disk and in the states.

        Raises:
            OSError: they could not be logged, and none of them counts.
            StoreError: they are logged, and the store did not take them: they will be applied when it is back.
        """
        segment = self._writer.name
        start = self._writer.position
        frames = self._writer.append(events)
        counted: list[bool] | None = None
        for version, definition in self.definitions.items():
            found = self._apply(version, definition, segment, start, frames)
            counted = found if counted is None else counted
        return Pushed(len(events), counted)

    def catch_up(self) -> int:
        """Applies what is logged and not in the states yet, whoever logged it; returns how many events.

        Raises:
            StoreError: the store does not answer, or the log is damaged.
        """
        applied = 0
        for version, definition in self.definitions.items():
            note = self._states.filled(version)
            if note is None or not note.whole:
                continue
            positions = self._states.positions(version)
            for segment, size in self.log.segments().items():
                start = positions.get(segment, 0)
                if start >= size:
                    continue
                some: list[Frame] = []
                begin = start
                for frame in self.log.frames(segment, start):
                    some.append(frame)
                    if sum(len(one.events) for one in some) >= _FRAMES_TOGETHER:
                        applied += len(self._apply(version, definition, segment, begin, some) or ())
                        begin, some = frame.end, []
                if some:
                    applied += len(self._apply(version, definition, segment, begin, some) or ())
        return applied

    def close(self) -> None:
        """Ends the segment and lets go of the store."""
        self._writer.close()
        self._states.close()

    def _apply(
        self, version: str, definition: HistoryDefinition, segment: str, start: int, frames: Sequence[Frame]
    ) -> list[bool] | None:
        """Applies frames that begin at a position; returns which events counted, None where others applied them."""
        end = frames[-1].end
        while True:
            events = [event for frame in frames for event in frame.events]
            keys: dict[EntityOwner, list[str]] = {
                "user": list(dict.fromkeys(event.user for event in events)),
                "item": list(dict.fromkeys(event.item for event in events)),
            }
            asked = keys if definition.form is None else {**keys, "item": [*keys["item"], NEWER_ITEMS]}
            work = _Work(lambda newer: self._placed(version, definition, newer), events, keys, self._at_hand)
            position = self._states.apply(version, segment, start, end, asked, work.change)
            if position is None:
                return None  # not online as a whole: who fills it applies the log
            if position == end and work.done:
                return work.counted
            if position >= end:
                return None
            if position < start:  # the store came back older than it was, or earlier parts were not applied
                before = [frame for frame in self.log.frames(segment, position) if frame.end <= start]
                if not before or before[-1].end != start:
                    raise StoreError(f"the event log's segment {segment} has no part that ends at {start}")
                self._apply(version, definition, segment, position, before)
                continue
            frames = [frame for frame in frames if frame.end > position]
            start = position

    def _placed(self, version: str, definition: HistoryDefinition, newer: bytes | None) -> HistoryDefinition:
        """The definition with the newer items that the online store knows, made anew only when they change."""
        kept = self._known.get(version)
        if kept is None or kept[0] != newer or kept[1] is not definition:
            kept = newer, definition, definition.with_newer(NewerItems.from_bytes(newer))
            self._known[version] = kept
        return kept[2]


class _Work:
    """The change of states by some events; may be made again.

    Args:
        definition: from the bytes of newer items, as they are stored with the items' states, to the definition.
        events: in order.
        keys: of their states; the newer items' comes behind those of items where it is read.
        at_hand: states that this process knows.
    """

    def __init__(
        self,
        definition: Callable[[bytes | None], HistoryDefinition],
        events: Sequence[LoggedEvent],
        keys: Mapping[EntityOwner, Sequence[str]],
        at_hand: KnownStates,
    ) -> None:
        self._definition, self._at_hand = definition, at_hand
        self._keys = keys
        hashes = {owner: dict(zip(some, key_hashes(some).tolist(), strict=True)) for owner, some in keys.items()}
        self._events = [
            (event.user, event.item, Event(hashes["user"][event.user], hashes["item"][event.item], *event[2:4]))
            for event in events
        ]
        self.counted: list[bool] = []
        self.done = False

    def change(self, stored: Mapping[EntityOwner, Sequence[bytes | None]]) -> dict[EntityOwner, list[StateRow]]:
        """What `StateStore.apply` calls."""
        newer = stored["item"][len(self._keys["item"]) :]
        definition = self._definition(newer[0] if newer else None)
        layouts = {"user": definition.user, "item": definition.item}
        states: dict[EntityOwner, dict[str, KeyState]] = {}
        for owner in OWNERS:
            layout = layouts[owner]
            states[owner] = {}
            for key, content in zip(self._keys[owner], stored[owner], strict=False):
                try:
                    states[owner][key] = self._at_hand.decoded(definition, layout, (owner, key), content)
                except StoreError as error:  # whoever fills the store again applies the log to it, and this event
                    _LOG.error("an event of %s %r waits: %s", owner, key, error)
        users, items = states["user"], states["item"]
        touched: dict[EntityOwner, dict[str, None]] = {"user": {}, "item": {}}
        self.counted, self.done = [], True
        for user, item, event in self._events:
            if user not in users or item not in items:
                self.counted.append(True)
                continue
            pushed = push(definition, users[user], items[item], event)
            self.counted.append(pushed.counted)
            if pushed.counted:
                users[user], items[item] = pushed.user, pushed.item
                touched["user"][user] = touched["item"][item] = None
        return {owner: [self._row(owner, key, states[owner][key]) for key in some] for owner, some in touched.items()}

    def _row(self, owner: EntityOwner, key: str, state: KeyState) -> StateRow:
        content = state.to_bytes()
        self._at_hand.put((owner, key), content, state)
        return StateRow(key, content, newest_moment(state))
