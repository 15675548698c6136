"""What tests of Spark need of the machine."""

from __future__ import annotations

import os
import shutil

import pytest


def need_spark() -> None:
    """Skips where Spark cannot run, and says what is missing."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'llactr[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no java: install Debian's package default-jre-headless")
