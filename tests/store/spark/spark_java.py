"""What tests of Spark need of the machine, and a session of two threads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CONF = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "America/New_York",  # which must not matter
}


def need_spark() -> None:
    """Skips where Spark cannot run, and says what is missing."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'llactr[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no java: install Debian's package default-jre-headless")


@contextmanager
def spark_session() -> Iterator[Any]:
    """Spark in this process, as long as the block; skips where it cannot run."""
    need_spark()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in CONF.items():
        builder = builder.config(name, value)
    started = builder.getOrCreate()
    try:
        yield started
    finally:
        started.stop()
