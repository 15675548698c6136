"""States that a writer has at hand: by the bytes that they were made of, so that they are exact whoever wrote."""

from __future__ import annotations

from collections.abc import Hashable

from llactr.history import HistoryDefinition, KeyState, StateLayout

__all__ = ["KnownStates"]

_MOST_BYTES = 32 << 20


class KnownStates:
    """Key -> a state and its bytes; the oldest makes room.

    A state is given only for the bytes and the definition that it is of.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[bytes, KeyState]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size_bytes(self) -> int:
        """Of the states and their bytes."""
        return self._bytes

    def decoded(
        self, definition: HistoryDefinition, layout: StateLayout, key: Hashable, content: bytes | None
    ) -> KeyState:
        """The state that some bytes are; that of a key without events for None.

        Raises:
            StoreError: the bytes are no state, are cut off, or belong to another definition.
        """
        if content is None:
            return KeyState.empty(definition, layout)
        known = self._known.get(key)
        if known is not None and known[0] == content and known[1].definition is definition:
            return known[1]
        state = KeyState.from_bytes(definition, layout, content)
        self.put(key, content, state)
        return state

    def put(self, key: Hashable, content: bytes, state: KeyState) -> None:
        """Keeps a state, beside the bytes that it is."""
        old = self._known.pop(key, None)
        if old is not None:
            self._bytes -= _size(*old)
        self._known[key] = content, state
        self._bytes += _size(content, state)
        while self._bytes > _MOST_BYTES:
            self._bytes -= _size(*self._known.pop(next(iter(self._known))))


def _size(content: bytes, state: KeyState) -> int:
    return len(content) + state.layout.record.itemsize + 500  # objects and entries, about
