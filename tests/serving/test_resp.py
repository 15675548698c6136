from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llactr.serving.resp import ReplyParser, ServerError, pack

leaves = st.one_of(st.none(), st.binary(max_size=40), st.integers(-(2**63), 2**63 - 1))
replies = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5), max_leaves=12)


def wire(reply: object) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    assert isinstance(reply, list)
    return b"*%d\r\n" % len(reply) + b"".join(wire(item) for item in reply)


@given(st.lists(replies, max_size=4), st.lists(st.integers(0, 400), max_size=6))
def test_replies_survive_any_split(expected: list[object], cuts: list[int]) -> None:
    data = b"".join(wire(reply) for reply in expected)
    parser, found = ReplyParser(), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        found += parser.feed(data[start:end])
    assert found == expected


def test_errors_are_replies_and_nonsense_is_refused() -> None:
    (error,) = ReplyParser().feed(b"-LOADING dataset\r\n")
    assert isinstance(error, ServerError)
    assert str(error) == "LOADING dataset"
    assert ReplyParser().feed(b"+OK\r\n*-1\r\n") == [b"OK", None]
    with pytest.raises(ValueError, match="no reply of Redis"):
        ReplyParser().feed(b"HTTP/1.1 400 Bad Request\r\n")


def test_commands_are_packed_as_redis_reads_them() -> None:
    assert pack(b"GET", b"a\r\nb") == b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n"
