"""Feast's Redis layout as commands: a row's HMGET packed around what all rows of its view have in common.

Feast keeps a hash per entity. Its key is the serialized entity key followed by the project; its fields are murmur3
hashes of `view:feature`, and the row's time under `_ts:view` (Feast's "online store format").
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.repo_config import RepoConfig

from llactr.serving.resp import Reply
from llactr.serving.views import Row, ViewRead
from llactr.store.feast.messages import entity_key, key_ends

__all__ = ["RowCommands", "row_of"]

_SIZE = struct.Struct("<I")


class RowCommands:
    """Commands that read rows.

    Args:
        config: the feature store's configuration.
    """

    def __init__(self, config: RepoConfig) -> None:
        self._project = config.project.encode()
        self._serialization = config.entity_key_serialization_version
        self._layouts: dict[ViewRead, tuple[bytes, bytes, bytes, bytes, int]] = {}

    def reads(self, view: ViewRead, keys: Sequence[str]) -> list[bytes]:
        """The commands that read some keys of a view, in their order."""
        head, prefix, suffix, tail, fixed = self._layouts.get(view) or self._layout(view)
        rest = suffix + tail
        found = []
        for key in keys:
            value = key.encode()
            size = len(value)
            found.append(b"%b%d\r\n%b%b%b%b" % (head, fixed + size, prefix, _SIZE.pack(size), value, rest))
        return found

    def reads_by_key(self, view: ViewRead, keys: Sequence[str]) -> list[tuple[bytes, bytes]]:
        """As `reads`: (the key of the row's hash, the command)."""
        head, prefix, suffix, tail, fixed = self._layouts.get(view) or self._layout(view)
        found = []
        for key in keys:
            value = key.encode()
            size = len(value)
            name = b"%b%b%b%b" % (prefix, _SIZE.pack(size), value, suffix)
            found.append((name, b"%b%d\r\n%b%b" % (head, fixed + size, name, tail)))
        return found

    def key(self, view: ViewRead, key: str) -> bytes:
        """The key of a row's hash."""
        return serialize_entity_key(entity_key(view.entity_key(key)), self._serialization) + self._project

    def _layout(self, view: ViewRead) -> tuple[bytes, bytes, bytes, bytes, int]:
        """What a view's commands have in common: head; key before and behind its value; rest; the key's other size."""
        before, behind = key_ends(view.join_key, dict(view.fixed), serialization=self._serialization)
        names = [*(_mmh3(f"{view.view}:{feature}") for feature in view.features), f"_ts:{view.view}".encode()]
        tail = b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in names)
        head = b"*%d\r\n$5\r\nHMGET\r\n$" % (len(names) + 2)
        suffix = behind + self._project
        layout = (head, before, suffix, tail, len(before) + _SIZE.size + len(suffix))
        self._layouts[view] = layout
        return layout


def row_of(reply: list[Reply]) -> Row:
    """The row that an HMGET answered."""
    event_time = reply.pop()
    return None if event_time is None else tuple(reply)
