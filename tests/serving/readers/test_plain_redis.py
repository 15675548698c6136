"""What a Redis answers is a row, a word on a key, or an error that is neither."""

from __future__ import annotations

import pytest

from llactr.serving.readers.base import StoreAwayError
from llactr.serving.readers.plain_redis import PlainRedis
from llactr.serving.resp import ServerError
from llactr.serving.slots import Address


@pytest.fixture
def reader() -> PlainRedis:
    made = PlainRedis.__new__(PlainRedis)  # without Feast's configuration
    made._nodes = [Address("cache", 6379)]
    return made


def test_an_error_is_no_word_on_a_key(reader: PlainRedis) -> None:
    assert reader.are_there([1, 0, 1]) == [True, False, True]
    with pytest.raises(StoreAwayError, match=r"Redis at cache:6379 does not answer \(LOADING Redis is loading"):
        reader.are_there([1, ServerError("LOADING Redis is loading the dataset in memory")])


def test_an_error_is_no_row(reader: PlainRedis) -> None:
    with pytest.raises(StoreAwayError, match=r"the Redis node b:1 does not answer \(TimeoutError\)"):
        reader.away(TimeoutError(), "the Redis node b:1")
    with pytest.raises(StoreAwayError, match="MOVED"):
        reader.rows([ServerError("MOVED 1 b:1")])
