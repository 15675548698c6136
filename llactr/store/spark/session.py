"""The Spark session that Feast shares out, in UTC; and what is said where Spark cannot run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from llactr.errors import InputError
from llactr.extras import missing_extra

__all__ = ["refuse_missing_spark", "spark_session"]

_TIME_ZONE = "spark.sql.session.timeZone"


def spark_session(config: Any) -> Any:
    """The active Spark session, else a new one with the `spark_conf` of the offline store.

    Feast compares timestamps with text without a zone, which Spark reads in the session's: the session is put into UTC.

    Args:
        config: the `offline_store` section, a `SparkOfflineStoreConfig`.

    Raises:
        InputError: there is no Java runtime, or Spark cannot start.
    """
    from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
        get_spark_session_or_start_new_with_repoconfig,
    )
    from pyspark.errors import PySparkRuntimeError

    conf = config.spark_conf or {}
    refuse_missing_spark(conf)
    if _runs_here(conf) and "spark.pyspark.python" not in conf:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # Spark's own choice is the `python3` of the PATH
    try:
        session = get_spark_session_or_start_new_with_repoconfig(config)
    except PySparkRuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"Spark cannot start ({reason}): see what java printed above, and spark_conf in the feature store's YAML"
        ) from None
    if session.conf.get(_TIME_ZONE) != "UTC":
        session.conf.set(_TIME_ZONE, "UTC")
    return session


def _runs_here(spark_conf: Mapping[str, str]) -> bool:
    return str(spark_conf.get("spark.master", "local")).startswith("local")


def refuse_missing_spark(spark_conf: Mapping[str, str]) -> None:
    """Says what Spark lacks to run here, before it is started.

    Args:
        spark_conf: the offline store's; Spark Connect (`spark.remote`) needs no Java on this machine.

    Raises:
        InputError: the package or a Java runtime is missing.
    """
    if find_spec("pyspark") is None:
        raise missing_extra("pyspark")
    if "spark.remote" in spark_conf or os.environ.get("SPARK_REMOTE"):
        return
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=os.path.join(home, "bin")) if home else shutil.which("java")
    if java is None:
        place = f"under JAVA_HOME ({home})" if home else "on the PATH"
        raise InputError(
            f"Spark needs a Java runtime, and there is no java {place}: install Java 17 or 21 (Debian's package "
            "default-jre-headless), or set JAVA_HOME to where it lies"
        )
