"""What the stores throw becomes one sentence of ours, and what they do not throw stays what it is."""

from __future__ import annotations

import sqlite3

import duckdb
import pyarrow as pa
import pytest
from feast.errors import FeatureViewNotFoundException
from google.protobuf.message import DecodeError
from ibis.common.exceptions import IbisInputError

from llactr.errors import DataError, StoreError
from llactr.store.feast.failures import store_failures

DOING, THEN = "reading the features of 3 users", "run 'llactr materialize'"


@pytest.mark.parametrize(
    "thrown",
    [
        FeatureViewNotFoundException("users"), duckdb.IOException("disk"), IbisInputError("x"),
        sqlite3.OperationalError("database is locked"), pa.ArrowInvalid("cast"), DecodeError("bytes"),
        ConnectionRefusedError("nobody"), ValueError("no"), KeyError("user"), TypeError("none"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_every_stores_error_says_what_was_done_and_what_to_do(thrown: Exception) -> None:
    with pytest.raises(StoreError) as told, store_failures(DOING, then=THEN):
        raise thrown
    text = str(told.value)
    assert text.startswith(f"the feature store failed while {DOING} ({type(thrown).__name__}: ")
    assert text.endswith(f"): {THEN}")
    assert told.value.__cause__ is thrown
    assert told.value.exit_code == 1


def test_redis_too_where_it_is_installed() -> None:
    exceptions = pytest.importorskip("redis.exceptions")
    with pytest.raises(StoreError, match=r"\(TimeoutError: slow\)"), store_failures(DOING, then=THEN):
        raise exceptions.TimeoutError("slow")


def test_the_command_of_a_pipeline_with_its_keys_is_left_out() -> None:
    exceptions = pytest.importorskip("redis.exceptions")
    told = "Command # 1 (HGET \x02\x00 user_id) of pipeline caused error: The cluster is down"
    with (
        pytest.raises(StoreError, match=r"\(ClusterDownError: The cluster is down\)"),
        store_failures(DOING, then=THEN),
    ):
        raise exceptions.ClusterDownError(told)


def test_the_reason_is_one_short_line() -> None:
    with pytest.raises(StoreError) as told, store_failures(DOING, then=THEN):
        raise sqlite3.DatabaseError("a\n   b\tc " + "x" * 1000)
    assert f"(DatabaseError: a b c {'x' * 294}): " in str(told.value)


def test_an_error_without_words_is_named() -> None:
    with pytest.raises(StoreError, match=r"\(ValueError: ValueError\)"), store_failures(DOING, then=THEN):
        raise ValueError


@pytest.mark.parametrize("thrown", [DataError("ours"), StoreError("ours, already"), ZeroDivisionError("a bug")])
def test_what_is_no_stores_error_passes_through(thrown: Exception) -> None:
    with pytest.raises(type(thrown)) as told, store_failures(DOING, then=THEN):
        raise thrown
    assert told.value is thrown


def test_nothing_is_said_when_nothing_is_thrown() -> None:
    with store_failures(DOING, then=THEN):
        done = True
    assert done
