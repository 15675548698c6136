"""Which node of a Redis cluster has a key: slots, the map of their owners, and replies that say that it has moved."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llactr.serving.resp import Reply, ServerError

__all__ = ["SLOTS", "Address", "Redirection", "SlotMap", "key_slot", "redirection"]

SLOTS = 16384


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def key_slot(key: bytes) -> int:
    """A key's slot: CRC-16 (XMODEM) modulo 16384, of what stands between the first `{` and the next `}` if anything.

    Source: the Redis cluster specification, "Key distribution model" and "Hash tags".
    """
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


@dataclass(frozen=True)
class Redirection:
    """What a node that does not answer for a key says.

    Attributes:
        slot: the key's.
        address: who has it.
        once: whether only this question goes there, as while the slot moves (ASK), or all from now on (MOVED).
    """

    slot: int
    address: Address
    once: bool


def redirection(error: ServerError, asked: Address) -> Redirection | None:
    """The redirection that an error is; None for any other.

    Args:
        error: such as `MOVED 3999 127.0.0.1:6381`.
        asked: the node that said so; its host is meant where the address has none.
    """
    kind, *rest = str(error).split(" ")
    if kind not in {"MOVED", "ASK"} or len(rest) < 2 or not rest[0].isdigit():
        return None
    host, _, port = rest[1].rpartition(":")
    return Redirection(int(rest[0]), Address(host or asked.host, int(port)), kind == "ASK")


class SlotMap:
    """Slot -> the node that owns it.

    Args:
        reply: to CLUSTER SLOTS.
        asked: the node that was asked.

    Raises:
        ValueError: the reply is none, or a slot has no owner.
    """

    def __init__(self, reply: Reply, asked: Address) -> None:
        owners: list[Address | None] = [None] * SLOTS
        if isinstance(reply, ServerError):
            raise ValueError(str(reply))
        try:
            for start, end, (host, port, *_), *_ in reply:
                owner = Address((host or b"").decode() or asked.host, int(port))
                owners[start : end + 1] = [owner] * (end + 1 - start)
        except (TypeError, ValueError, AttributeError):
            raise ValueError("its answer to CLUSTER SLOTS is none") from None
        if None in owners:
            raise ValueError(f"no node of the cluster has slot {owners.index(None)}")
        self._owners: list[Address] = [owner for owner in owners if owner is not None]

    @property
    def nodes(self) -> Sequence[Address]:
        """All nodes that own a slot."""
        return list(dict.fromkeys(self._owners))

    def owner(self, slot: int) -> Address:
        """The node that owns a slot."""
        return self._owners[slot]

    def moved(self, slot: int, address: Address) -> None:
        """A slot is another node's from now on."""
        self._owners[slot] = address
