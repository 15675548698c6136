"""What runs on Ray gives what one process gives, to the last bit, and also where a worker is killed on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from llactr.ctr.batch_scoring import RequestTimes, ScoredFile, open_scorer, score_file
from llactr.ctr.training.config import TrainJobConfig
from llactr.datasets.row_batches import RowSource
from llactr.jobs import encode, encode_values, ingest, materialize, train
from llactr.jobs.cli.console import Terminal
from llactr.pieces import ALONE, Workers
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.steps import Job
from llactr.store import training_rows
from llactr.store.ingested import dataset_spec
from llactr.store.tables import value_files
from llactr.store.training_buckets import bucketed_training_rows
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import SPEC, write_dataset
from tests.pieces.local_ray import local_ray

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ON_RAY = Workers(2, ray="local")
UNTUNED = ValueSemanticsConfig(tune=False)
TEXTS: dict[str, Any] = {"dish": ["tags"], "tags": True, "job": True}


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of marks; this process has one thread, as each worker has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with local_ray(tmp_path_factory.mktemp("marks")) as marks:
        yield marks
    torch.set_num_threads(threads)


def _ingested(folder: Path) -> Job:
    fields = [
        {**field, **({"value_text": TEXTS[field["name"]]} if field["name"] in TEXTS else {})}
        for field in SPEC["fields"]
    ]
    spec = write_dataset(folder, fields=fields)
    job = Job(Workspace.at(folder / "workspace"), Terminal(as_json=True), force=True)
    ingest.run(job, str(spec), data_folder=None)
    return job


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ray: Path) -> Job:
    """A workspace with a model that reads value vectors, online and offline."""
    job = _ingested(tmp_path_factory.mktemp("trained"))
    encode.run(job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    encode_values.run(job, "tiny", UNTUNED)
    materialize.apply(job)
    materialize.materialize(job)
    training = {"max_epochs": 2, "min_steps": 0, "batch_size": 64}
    train.run(job, "tiny", TrainJobConfig(backbone="deepfm", arm="values", training=training))
    return job


def _stored(job: Job, version: str) -> list[dict[str, Any]]:
    rows = [
        row
        for path in value_files(job.workspace, "tiny", version)
        for row in pq.read_table(path, partitioning=None).to_pylist()
    ]
    return sorted(
        ({name: row[name] for name in ("field", "value", "text", "vector", "encoder")} for row in rows),
        key=lambda row: (row["field"], row["value"]),
    )


def test_values_are_encoded_once_each_though_a_worker_dies(ray: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    alone, job = _ingested(here), _ingested(there)
    expected = encode_values.run(alone, "tiny", UNTUNED, piece=3).result
    (ray / "kill-2").touch()

    found = encode_values.run(job, "tiny", UNTUNED, piece=3, workers=ON_RAY).result

    assert (ray / "killed-2").exists()
    (ray / "killed-2").unlink()
    assert found == expected
    files = value_files(job.workspace, "tiny", found.version)
    assert len(files) == len(value_files(alone.workspace, "tiny", found.version)) == -(-found.new_texts // 3)
    assert _stored(job, found.version) == _stored(alone, found.version)  # the same floats; each value once
    assert len(_stored(job, found.version)) == 3 + 20 + 4

    # A rerun takes up what is there: two pieces are missing, two are encoded.
    lost = [len(set(pq.read_table(path, partitioning=None)["text"].to_pylist())) for path in files[1:3]]
    for path in files[1:3]:
        path.unlink()
    again = encode_values.run(job, "tiny", UNTUNED, piece=3, workers=ON_RAY).result
    assert again.new_texts == sum(lost)
    assert _stored(job, found.version) == _stored(alone, found.version)


@pytest.mark.parametrize("at", [None, "event_timestamp"], ids=["online", "offline"])
def test_a_file_is_scored_to_the_same_bytes_though_a_worker_dies(
    ray: Path, trained: Job, tmp_path: Path, at: str | None
) -> None:
    moments = [datetime.fromtimestamp(1_700_000_000 + 3600 * n, UTC) for n in range(60)]
    rows = {
        "person": [f"p{n % 31}" for n in range(60)],
        "dish": [f"d{n % 21}" for n in range(60)],
        "device": ["phone", "desk"] * 30,
        "event_timestamp": pa.array(moments, pa.timestamp("us", "UTC")),
        "note": [f"n{n}" for n in range(60)],
        "more": [0] * 60,
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet", row_group_size=25)
    times = RequestTimes(at)
    scorer = open_scorer(trained.workspace, "tiny", None, times)
    source = RowSource(scorer.spec, tmp_path / "rows.parquet")

    def scored(out: str, workers: Workers) -> ScoredFile:
        return score_file(scorer, source, tmp_path / out, times=times, keep=("note",), batch_rows=8, workers=workers)

    alone = scored("alone.parquet", ALONE)
    (ray / "kill-3").touch()
    on_ray = scored("ray.parquet", ON_RAY)

    assert (ray / "killed-3").exists()
    (ray / "killed-3").unlink()
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "alone.parquet").read_bytes()
    assert pq.read_table(tmp_path / "ray.parquet")["note"].to_pylist() == rows["note"]
    said = {"out", "seconds", "cpu_seconds", "model_cpu_seconds"}
    assert on_ray.model_dump(exclude=said) == alone.model_dump(exclude=said)
    assert on_ray.ignored == ("more",)
    assert on_ray.out_of_vocabulary["person"] == 1  # p30


def test_training_rows_are_joined_in_buckets_to_the_same_rows_though_a_worker_dies(ray: Path, trained: Job) -> None:
    spec = dataset_spec(trained.workspace, "tiny")
    expected = training_rows(trained.workspace, spec)
    (ray / "kill-2").touch()

    with bucketed_training_rows(trained.workspace, spec, buckets=7, workers=ON_RAY) as made:
        found = pa.concat_tables(made.tables(100))

    assert (ray / "killed-2").exists()
    (ray / "killed-2").unlink()
    assert found.schema == expected.schema
    assert found.unify_dictionaries().to_pylist() == expected.to_pylist()
    assert expected.num_rows == 621 + 78 + 78


def test_a_command_without_ray_around_it_starts_one_here(trained: Job, tmp_path: Path) -> None:
    """In a process of its own, as a user has it; stdout holds the result and nothing of Ray's."""
    arguments = ["export", "--to", "training_set", "--buckets", "3", "--ray", "local", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "llactr.jobs.cli", *arguments, "--out", tmp_path / "rows", "--workspace", trained.workspace.root],
        env=os.environ | {"RAY_AUTH_MODE": "disabled"}, check=False, timeout=600, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["format"] == "training_set"
    rows = training_rows(trained.workspace, dataset_spec(trained.workspace, "tiny"))
    parts = [pq.read_table(tmp_path / "rows" / f"{part}.parquet") for part in ("train", "validation", "test")]
    assert pa.concat_tables(parts).unify_dictionaries().to_pylist() == rows.to_pylist()
