"""What needs no Spark: the file's settings, and what is said where Spark cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llactr import store
from llactr.errors import InputError
from llactr.store.spark.session import refuse_missing_spark
from tests.store.store_workspace import small

CONFIG = store.REPOSITORY / "feature_store.spark.yaml"


def settings(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((store.REPOSITORY / name).read_text())
    return found


def test_the_spark_file_names_one_registry_with_the_redis_file() -> None:
    """So that `feast apply` needs no Spark, and what Spark brought online is served by the file without Spark."""
    spark, redis = settings(CONFIG.name), settings("feature_store.redis.yaml")
    for section in ("project", "registry", "online_store", "entity_key_serialization_version"):
        assert spark[section] == redis[section]
    assert spark["batch_engine"]["type"] == "llactr.store.spark.MarkingSparkComputeEngine"
    assert spark["materialization"]["pull_latest_features"] is True


@pytest.mark.parametrize("kind", ["spark", "llactr.store.spark.AsofSparkOfflineStore"])
def test_a_missing_pyspark_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    config = tmp_path / "feature_store.yaml"
    config.write_text(yaml.safe_dump(settings("feature_store.yaml") | {"offline_store": {"type": kind}}))
    monkeypatch.setattr(
        "llactr.store.feast.open.importlib.util.find_spec", lambda name: None if name == "pyspark" else name
    )
    with pytest.raises(InputError, match=r"the package 'pyspark' is not installed: run pip install 'llactr\[spark\]'"):
        store.open_store(small(tmp_path / "workspace").workspace, config=config)


@pytest.mark.parametrize("kind", ["spark.engine", "llactr.store.spark.MarkingSparkComputeEngine"])
def test_the_engine_alone_asks_for_pyspark_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    config = tmp_path / "feature_store.yaml"
    config.write_text(yaml.safe_dump(settings("feature_store.yaml") | {"batch_engine": {"type": kind}}))
    monkeypatch.setattr(
        "llactr.store.feast.open.importlib.util.find_spec", lambda name: None if name == "pyspark" else name
    )
    with pytest.raises(InputError, match=r"llactr\[spark\]"):
        store.open_store(small(tmp_path / "workspace").workspace, config=config)


@pytest.fixture
def pyspark_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llactr.store.spark.session.find_spec", lambda name: name)
    monkeypatch.delenv("SPARK_REMOTE", raising=False)


@pytest.mark.usefixtures("pyspark_found")
def test_a_missing_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no java on the PATH: install Java 17 or 21"):
        refuse_missing_spark({})
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"there is no java under JAVA_HOME \("):
        refuse_missing_spark({})


@pytest.mark.usefixtures("pyspark_found")
def test_java_is_found_and_not_needed_behind_spark_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    refuse_missing_spark({"spark.remote": "sc://head:15002"})
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    refuse_missing_spark({})


def test_spark_is_not_imported_where_it_is_not_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "llactr.store.feast.open.importlib.util.find_spec", lambda name: None if name == "pyspark" else name
    )
    opened = store.open_store(small(tmp_path / "workspace").workspace, config=store.REPOSITORY / "feature_store.yaml")
    assert type(opened.config.offline_store).__name__ == "AsofDuckDBOfflineStoreConfig"
