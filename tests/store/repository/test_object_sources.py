"""A Feast repository of the user's own whose table lies on an object store gives the rows of the same one on the disk."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from llactr import objects
from llactr.jobs.cli.console import Terminal
from llactr.steps import Job
from llactr.store import OnlineReader, training_rows
from llactr.store.ingested import dataset_spec
from llactr.store.repository.ingest import ingest
from llactr.store.repository.state import repository_state
from llactr.workspace import Workspace
from tests.object_store import object_store
from tests.store.repository.driver_stats import (
    DEFINITIONS,
    FEATURE_STORE,
    HOURS,
    START,
    applied,
    statistics,
    write_repository,
)

pytestmark = pytest.mark.slow
PLACE = "s3://drivers/stats"


def rows_of(folder: Path, definitions: str = DEFINITIONS) -> tuple[Workspace, pa.Table, pa.Table]:
    """Training rows, and the features online, of the trips."""
    repo = folder / "repo"
    (repo / "example_repo.py").write_text(definitions, encoding="utf-8")
    store_of = f"{FEATURE_STORE}offline_store:\n  type: llactr.store.asof.AsofDuckDBOfflineStore\n"
    (repo / "feature_store.yaml").write_text(store_of, encoding="utf-8")
    store = applied(repo)
    workspace = Workspace.at(folder / ".llactr")
    ingest(Job(workspace, Terminal(as_json=True)), str(folder / "spec.yaml"))
    store.materialize(START - timedelta(days=1), START + timedelta(hours=HOURS))
    spec = dataset_spec(workspace, "trips")
    rows = training_rows(workspace, spec, with_release=False)
    asked = rows.select([name for name in rows.column_names if name not in {"label"}]).slice(0, 50)
    from llactr.store import apply

    apply(workspace)
    return workspace, rows, OnlineReader(workspace, spec).features(asked)


def test_training_rows_and_what_is_online_are_the_same(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        write_repository(tmp_path / name)
    with object_store("drivers") as address:
        objects.put(tmp_path / "there/repo/data/driver_stats.parquet", f"{PLACE}/part-0.parquet")
        (tmp_path / "there/repo/data/driver_stats.parquet").unlink()
        source = f'path="{PLACE}",\n    s3_endpoint_override="{address}",'
        changed = DEFINITIONS.replace('path="data/driver_stats.parquet",', source)
        _, rows, online = rows_of(tmp_path / "here")
        workspace, rows_there, online_there = rows_of(tmp_path / "there", changed)
        assert rows_there.equals(rows)
        assert online_there.equals(online)
        assert rows["home"].null_count < len(rows) / 2
        spec = dataset_spec(workspace, "trips")
        before = repository_state(workspace, spec)
        assert repository_state(workspace, spec) == before
        statistics().to_parquet(tmp_path / "more.parquet")
        objects.put(tmp_path / "more.parquet", f"{PLACE}/part-1.parquet")
        assert repository_state(workspace, spec) != before, "a step that reads it is run again"
