"""A key's node: slots as the cluster specification has them, the map, and what a node says that has not got the key."""

from __future__ import annotations

import random

import pytest

from llactr.serving.resp import ServerError
from llactr.serving.slots import Address, Redirection, SlotMap, key_slot, redirection

ASKED = Address("here", 1)


def slot_by_hand(key: bytes) -> int:
    """CRC-16/XMODEM bit by bit: polynomial 0x1021, nothing reflected, beginning with 0."""
    crc = 0
    for byte in key:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % 16384


def test_slots_are_those_of_the_specification() -> None:
    assert slot_by_hand(b"123456789") == 0x31C3, "the specification's own example"
    draw = random.Random(1)
    keys = [draw.randbytes(draw.randint(0, 60)).replace(b"{", b"") for _ in range(200)]
    assert [key_slot(key) for key in keys] == [slot_by_hand(key) for key in keys]


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"foo{}{bar}", b"foo{}{bar}"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"foo{bar", b"foo{bar"),
        (b"}foo{b}", b"b"),
    ],
)
def test_only_a_hash_tag_is_hashed(key: bytes, hashed: bytes) -> None:
    assert key_slot(key) == slot_by_hand(hashed)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirection(3999, Address("127.0.0.1", 6381), once=False)),
        ("ASK 5 ::1:7", Redirection(5, Address("::1", 7), once=True)),
        ("MOVED 8 :6380", Redirection(8, Address("here", 6380), once=False)),
        ("CLUSTERDOWN Hash slot not served", None),
        ("MOVED", None),
    ],
)
def test_a_redirection_is_read(said: str, expected: Redirection | None) -> None:
    assert redirection(ServerError(said), ASKED) == expected


def test_the_map_of_slots() -> None:
    replica = [b"10.0.0.9", 5, b"replica", []]
    slots = SlotMap([[0, 99, [b"10.0.0.1", 5, b"id", []], replica], [100, 16383, [b"", 6, b"id", []]]], ASKED)
    assert slots.nodes == [Address("10.0.0.1", 5), Address("here", 6)]
    assert [slots.owner(slot) for slot in (0, 99, 100, 16383)] == [slots.nodes[0]] * 2 + [slots.nodes[1]] * 2
    slots.moved(99, Address("new", 7))
    assert slots.owner(99) == Address("new", 7)
    assert slots.owner(98) == Address("10.0.0.1", 5)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ([[0, 16382, [b"a", 1]]], "no node of the cluster has slot 16383"),
        ([], "has slot 0"),
        (ServerError("ERR This instance has cluster support disabled"), "cluster support disabled"),
        (None, "none"),
        ([[1, 2]], "none"),
    ],
)
def test_a_map_that_is_none_is_refused(reply: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SlotMap(reply, ASKED)
