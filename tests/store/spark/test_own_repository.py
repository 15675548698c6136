"""A Feast repository of the user's own whose tables Spark reads: the views' rows in training sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from llactr.jobs.cli.console import Terminal
from llactr.steps import Job
from llactr.store import apply, training_rows
from llactr.store.ingested import dataset_spec
from llactr.store.repository.ingest import ingest
from llactr.workspace import Workspace
from tests.store.repository import driver_stats as drivers
from tests.store.spark.spark_java import CONF, spark_session

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Spark and Feast warn of much


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[Any]:
    with spark_session() as started:
        yield started


def rows_of(folder: Path, *, spark: bool) -> pa.Table:
    """The training rows of the trips, with the drivers' statistics read by Spark or by DuckDB."""
    repo = drivers.write_repository(folder)
    table = repo / "data" / "driver_stats.parquet"
    drivers.statistics().to_parquet(table, coerce_timestamps="us")  # Spark reads no nanoseconds
    if spark:
        settings = yaml.safe_load(drivers.FEATURE_STORE) | {"offline_store": {"type": "spark", "spark_conf": CONF}}
        (repo / "feature_store.yaml").write_text(yaml.safe_dump(settings))
        imported = "from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource\n"
        code = drivers.DEFINITIONS.replace("FileSource(", "SparkSource(").replace(
            'path="data/driver_stats.parquet",', f'path="{table}", file_format="parquet",'
        )
        (repo / "example_repo.py").write_text(imported + code)
    drivers.applied(repo)
    workspace = Workspace.at(folder / ".llactr")
    ingest(Job(workspace, Terminal(as_json=True)), str(folder / "spec.yaml"))
    apply(workspace)
    return training_rows(workspace, dataset_spec(workspace, "trips"), with_release=False)


def test_a_repository_of_spark_tables_gives_the_rows_of_duckdb(tmp_path: Path) -> None:
    """Keys that are numbers, a ttl, an on-demand view; `type: spark` as it stands in their YAML."""
    expected = rows_of(tmp_path / "files", spark=False)
    found = rows_of(tmp_path / "spark", spark=True)
    assert 100 < expected["home"].null_count < 600
    assert found.schema == expected.schema
    assert found.to_pylist() == expected.to_pylist()
