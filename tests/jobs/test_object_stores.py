"""Commands on an object store: sources that are ingested from there, rows that are scored from there and to there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr import objects
from llactr.jobs import ingest, score
from llactr.jobs.cli.console import Terminal
from llactr.steps import Job
from llactr.workspace import Workspace
from tests.jobs.conftest import Answer
from tests.jobs.tiny_dataset import write_dataset
from tests.object_store import object_store
from tests.serving.serving_workspace import build, events_columns


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with object_store("data") as found:
        yield found


def test_sources_are_ingested_from_there(address: str, tmp_path: Path) -> None:
    spec = write_dataset(tmp_path)
    for name in ("events.csv", "people.csv", "dishes.csv"):
        objects.put(tmp_path / name, f"s3://data/tiny/{name}")
    here, there = (Job(Workspace.at(tmp_path / name), Terminal(as_json=True)) for name in ("here", "there"))
    ingest.run(here, str(spec), data_folder=tmp_path)
    made = ingest.run(there, str(spec), data_folder=Path("s3://data/tiny"))
    assert made.result.rows > 500
    for table in ("events", "user", "item"):
        found = [pq.read_table(job.workspace.offline_table("tiny", table)) for job in (here, there)]
        dropped = [name for name in found[0].column_names if name == "created_timestamp"]
        assert found[0].drop_columns(dropped).equals(found[1].drop_columns(dropped))
    assert ingest.run(there, str(spec), data_folder=Path("s3://data/tiny")).skipped, "the same bits"


def test_rows_are_scored_from_there_and_to_there(address: str, tmp_path: Path) -> None:
    workspace = build(tmp_path / "ws")
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table(events_columns()).slice(0, 50).drop_columns(["label"]), file)
    objects.put(file, "s3://data/in/rows.parquet")
    job = Job(workspace, Terminal(as_json=True))
    asked = {"bundle": None, "sql": None, "at": None, "keep": ("seconds",)}
    made = score.into_file(job, "shop", tmp_path / "scores.parquet", file=file, **asked)  # type: ignore[arg-type]
    out = Path("s3://data/out/scores.parquet")
    moved = score.into_file(job, "shop", out, file=Path("s3://data/in/rows.parquet"), **asked)  # type: ignore[arg-type]
    assert (moved.out, moved.rows) == ("s3://data/out/scores.parquet", made.rows)
    with objects.local_source(out) as copy:
        assert copy is not None
        assert copy.read_bytes() == (tmp_path / "scores.parquet").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["apply", "--workspace", "s3://data/ws"], "the workspace is s3://data/ws"),
        (["init", "events.csv", "--out", "s3://data/spec.yaml"], "the place to write to is s3://data/spec.yaml"),
    ],
)
def test_other_places_on_an_object_store_are_refused(
    llactr: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    write_dataset(tmp_path)
    monkeypatch.chdir(tmp_path)
    outcome = llactr(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not (tmp_path / "s3:").exists()
