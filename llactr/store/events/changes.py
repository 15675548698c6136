"""Which items' states changed last: a row beside the states, moved in the transaction that changes them.

Whoever keeps states of items reads this row together with whatever else it reads, before the states. The same row as
before says that no state of the version has changed; another one names the items to read again, or is too far ahead to
tell. So kept states are exact, whichever process pushed. The row lies in the view of the marks of materialization,
under a key of its own, and is gone while a version is being filled.

```
8 bytes era, drawn anew by each filling; uint64 how many changes there were
uint64 hashes of the last items, oldest first
```
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from llactr.spec import DatasetSpec
from llactr.store.names import PhysicalNames

__all__ = ["CHANGES_FEATURE", "Changes", "changes_key"]

CHANGES_FEATURE = "keys"
"""The feature of the marks' view that holds the row."""
_HEAD = struct.Struct("<8sQ")
_KEPT = 64


@dataclass(frozen=True)
class Changes:
    """The changes of a version's states so far.

    Attributes:
        era: of the filling that they began with.
        count: how many states of items were changed since.
        items: hashes of the items changed last, oldest first.
    """

    era: bytes
    count: int = 0
    items: tuple[int, ...] = ()

    @classmethod
    def begun(cls) -> Changes:
        """No change yet, of a new era."""
        return cls(os.urandom(8))

    @classmethod
    def parse(cls, content: bytes | None) -> Changes | None:
        """What the row says; None where there is none, or it is none of ours."""
        if content is None or len(content) < _HEAD.size or len(content) % 8:
            return None
        era, count = _HEAD.unpack_from(content)
        number = (len(content) - _HEAD.size) // 8
        return cls(era, count, struct.unpack_from(f"<{number}Q", content, _HEAD.size))

    def to_bytes(self) -> bytes:
        """The row."""
        return _HEAD.pack(self.era, self.count) + struct.pack(f"<{len(self.items)}Q", *self.items)

    def then(self, items: Sequence[int]) -> Changes:
        """With some more changes."""
        return Changes(self.era, self.count + len(items), (*self.items, *items)[-_KEPT:])

    def since(self, before: Changes) -> Sequence[int] | None:
        """The items that changed after `before`; None where that cannot be told."""
        more = self.count - before.count
        if self.era != before.era or more < 0 or more > len(self.items):
            return None
        both = len(self.items) - more  # changes that both of them should know
        if both and before.items[-both:] != self.items[:both][-len(before.items) :]:
            return None  # a store that came back older than it was, and went another way
        return self.items[both:]


def changes_key(spec: DatasetSpec, version: str) -> str:
    """The key of a version's row in the view of the marks."""
    return f"{PhysicalNames(spec).history_view('item')}#changed@{version}"
