"""States of history in an online store: read and written together with the log's position up to which they are.

Of a history version the online store holds the states, as rows of Feast views, a note of the snapshot that they began
with, and per segment of the event log the position up to which its events are in the states. States and position
change in one transaction, and with them a row that says which items' states changed last
(`llactr.store.events.changes`). A version without a finished note is not online: nothing is applied to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from feast.infra.key_encoding_utils import serialize_entity_key

from llactr.columns import HISTORY_VERSION
from llactr.history import key_hashes
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store.events.changes import Changes, changes_key
from llactr.store.feast.messages import Value, entity_key, key_ends
from llactr.store.marks import MARK_KEY
from llactr.store.names import PhysicalNames

__all__ = ["OWNERS", "Change", "Filled", "StateRow", "StateStore", "StateTables"]

OWNERS: tuple[EntityOwner, ...] = ("user", "item")


@dataclass(frozen=True)
class Filled:
    """The note of a history version's snapshot.

    Attributes:
        snapshot: its name.
        owners: whose states of it are online.
    """

    snapshot: str
    owners: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all states are online."""
        return set(self.owners) == set(OWNERS)

    @classmethod
    def parse(cls, text: str | bytes | None) -> Filled | None:
        """The note that a text holds."""
        if text is None:
            return None
        content = json.loads(text)
        return cls(content["snapshot"], tuple(content["owners"]))

    def text(self) -> str:
        """The note as it is kept."""
        return json.dumps(asdict(self))

    def with_owner(self, owner: str) -> Filled:
        """The note once one more owner's states are online."""
        return Filled(self.snapshot, tuple(dict.fromkeys([*self.owners, owner])))


@dataclass(frozen=True)
class StateRow:
    """A new state of a key.

    Attributes:
        key: of the user or the item.
        state: its bytes.
        moment_us: from when on all its events count, in microseconds since 1970.
    """

    key: str
    state: bytes
    moment_us: int


Change = Callable[[Mapping[EntityOwner, Sequence[bytes | None]]], Mapping[EntityOwner, Sequence[StateRow]]]
"""Owner's states as they are, in the order of the keys asked for -> what is to be written. May be called again."""


class StateStore(Protocol):
    """See the module's text. For one thread at a time; several processes may write."""

    def filled(self, version: str) -> Filled | None:
        """The note of a version; None where nothing of it was ever online."""

    def begin(self, version: str, snapshot: str) -> None:
        """Says that a version's states are about to be written; what was online of another snapshot counts no more."""

    def finish(self, version: str, snapshot: str, owner: EntityOwner, positions: Mapping[str, int]) -> None:
        """Says that an owner's states are online whole; after the last owner's the version has the log's positions.

        Raises:
            StoreError: another filling of the version began meanwhile.
        """

    def drop(self, version: str) -> None:
        """Says that nothing of a version is online any more: events are no longer applied to it."""

    def positions(self, version: str) -> dict[str, int]:
        """Segment -> position up to which it is in the states of a version."""

    def apply(
        self,
        version: str,
        segment: str,
        start: int,
        end: int,
        keys: Mapping[EntityOwner, Sequence[str]],
        change: Change,
    ) -> int | None:
        """Changes states of some keys and moves a segment's position from `start` to `end`, in one transaction.

        Returns:
            the segment's position now: `end`, or where it stood if not at `start`, and nothing was changed; None where
            the version is not online whole.
        """

    def read(self, version: str, owner: EntityOwner, keys: Sequence[str]) -> list[bytes | None]:
        """States as they are."""

    def close(self) -> None:
        """Lets go of the store."""


class StateTables:
    """Where states lie: names of views, and keys as Feast serializes them.

    Args:
        spec: of the dataset.
        project: Feast's.
        serialization: of entity keys.
    """

    def __init__(self, spec: DatasetSpec, *, project: str, serialization: int) -> None:
        self.dataset = spec.name
        self.project = project
        self._spec = spec
        self._names = PhysicalNames(spec)
        self._serialization = serialization
        self._changes_keys: dict[str, bytes] = {}
        self._ends: dict[tuple[EntityOwner, str], tuple[bytes, bytes]] = {}

    def view(self, owner: EntityOwner) -> str:
        """The view of an owner's states."""
        return self._names.history_view(owner)

    def keys(self, owner: EntityOwner, version: str, keys: Sequence[str]) -> list[bytes]:
        """Serialized entity keys."""
        ends = self._ends.get((owner, version))
        if ends is None:
            fixed = {HISTORY_VERSION: version}
            ends = key_ends(self._names.join_key(owner), fixed, serialization=self._serialization)
            self._ends[owner, version] = ends
        before, behind = ends
        return [before + len(value).to_bytes(4, "little") + value + behind for value in (key.encode() for key in keys)]

    def changes_key(self, version: str) -> bytes:
        """Serialized key of the row that says which items' states changed last."""
        content = self._changes_keys.get(version)
        if content is None:
            key = entity_key({MARK_KEY: changes_key(self._spec, version)})
            content = self._changes_keys[version] = serialize_entity_key(key, self._serialization)
        return content

    def changed(self, value: bytes | None, changed: Mapping[EntityOwner, Sequence[StateRow]]) -> bytes:
        """The row's value after some states were changed; `value` is the one before."""
        before = Changes.parse(self.state(value)) or Changes.begun()
        hashes = key_hashes([row.key for row in changed.get("item", ())]).tolist()
        return self.value(before.then(hashes).to_bytes())

    def unchanged(self) -> bytes:
        """The row's value after a filling."""
        return self.value(Changes.begun().to_bytes())

    @staticmethod
    def value(state: bytes) -> bytes:
        """A state as Feast stores it."""
        content: bytes = Value(bytes_val=state).SerializeToString()
        return content

    @staticmethod
    def state(value: bytes | None) -> bytes | None:
        """The state that a stored value holds."""
        if value is None:
            return None
        content: bytes = Value.FromString(value).bytes_val
        return content
