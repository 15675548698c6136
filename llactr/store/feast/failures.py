"""What the stores throw, in one sentence of ours."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from feast.errors import FeastError
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from ibis.common.exceptions import IbisError

from llactr.errors import StoreError

__all__ = ["store_failures"]

_THROWN: tuple[type[Exception], ...] = (
    FeastError, duckdb.Error, IbisError, sqlite3.Error, pa.ArrowException, DecodeError,
    OSError, ValueError, KeyError, TypeError,
)  # fmt: skip
try:
    from redis.exceptions import RedisError
except ImportError:  # an optional store
    pass
else:
    _THROWN = (*_THROWN, RedisError)


_PACKAGE = Path(__file__).resolve().parents[2]


def _is_ours(error: Exception) -> bool:
    """Whether code of this package threw an error, not a library that it called: no store is to blame for it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).resolve().is_relative_to(_PACKAGE)


def _is_sparks(error: Exception) -> bool:
    """Whether Spark threw an error, or what stands between Python and its Java; neither is imported to find out."""
    return type(error).__module__.partition(".")[0] in ("pyspark", "py4j")


def _said(error: Exception) -> str:
    """What an error says, in one line."""
    text = str(error).strip()
    if type(error).__name__ == "PythonException":  # Spark's, of a worker: a traceback, and at its end what happened
        text = text.splitlines()[-1]
    if text.startswith("Command # "):  # redis-py's, of a pipeline: the command before it, keys in bytes and all
        text = text.rpartition(") of pipeline caused error: ")[2]
    return " ".join(text.split())


@contextlib.contextmanager
def store_failures(doing: str, *, then: str) -> Iterator[None]:
    """Turns what Feast and its stores throw into a StoreError that says what was being done and what to do next."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _THROWN) and not _is_sparks(error):
            raise
        if isinstance(error, KeyError | TypeError) and _is_ours(error):
            raise
        reason = _said(error)[:300] or type(error).__name__
        raise StoreError(
            f"the feature store failed while {doing} ({type(error).__name__}: {reason}): {then}"
        ) from error
