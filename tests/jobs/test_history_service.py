"""A trained model with history, served: it answers what the store scores, and learns of what is pushed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llactr.ctr.scoring import RowScorer
from llactr.ctr.training.config import TrainJobConfig
from llactr.diagnostics.agreement import check_online
from llactr.errors import InputError
from llactr.jobs import check, encode, ingest, materialize, push, train
from llactr.jobs.cli.console import Terminal
from llactr.semantics import SemanticsConfig
from llactr.steps import Job
from llactr.store import REPOSITORY
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import write_dataset
from tests.redis_cluster import Cluster
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_process import Redis

SERVERS: dict[str, tuple[type[Redis] | type[Cluster], str]] = {
    "redis": (Redis, "feature_store.redis.yaml"),
    "cluster": (Cluster, "feature_store.redis-cluster.yaml"),
}
MOMENT = "2023-12-20T12:00:00+00:00"


def trained(job: Job, folder: Path, *, arm: str = "history taste") -> Path:
    """A bundle of an arm, whose states are written and not online."""
    spec = write_dataset(folder, history={"outcome_delay": "20m", "last": 8})
    ingest.run(job, str(spec), data_folder=None)
    encode.run(job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    materialize.apply(job)
    materialize.materialize(job)
    training = {"max_epochs": 4, "min_steps": 0, "batch_size": 64, "learning_rate": 0.02}
    config: Any = TrainJobConfig(backbone="fm", arm=arm, training=training)
    made: Path = train.run(job, "tiny", config).folder
    return made


def test_the_service_answers_what_the_store_scores_and_learns_of_pushed_events(tmp_path: Path) -> None:
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    folder = trained(job, tmp_path)

    def scores() -> list[float]:
        columns = {"person": ["p3"] * 2, "dish": ["d1", "d2"], "device": ["phone"] * 2, "event_timestamp": [MOMENT] * 2}
        return list(RowScorer.online(job.workspace, "tiny", str(folder)).score(pa.table(columns)).scores)

    def ranked(asgi: Asgi) -> list[float]:
        body = {"user": "p3", "items": ["d1", "d2"], "timestamp": MOMENT, "context": {"device": "phone"}}
        found: list[float] = asgi.ask("POST", "/v1/rank", body).json["scores"]
        return found

    with started(job.workspace, anyway=True) as asgi:
        assert asgi.ask("GET", "/readyz").status == 503, "its states are not online"
    materialize.apply(job)
    materialize.materialize(job)
    with started(job.workspace, anyway=True) as asgi:
        before = ranked(asgi)
        np.testing.assert_allclose(before, scores(), atol=1e-6)
        file = tmp_path / "events.jsonl"
        times = [f"2023-12-10T{hour:02}:00:00+00:00" for hour in range(20)]
        events = [{"person": "p3", "dish": "d1", "outcome": 1, "event_timestamp": time} for time in times]
        file.write_text("\n".join(json.dumps(event) for event in events))
        pushed = push.run(job, "tiny", file=file, url=None)
        assert (pushed["events"], pushed["repeated"], pushed["taken_in"]) == (20, 0, 20)
        after = ranked(asgi)
        assert after[0] > before[0], "the dish was liked twenty times more"
        np.testing.assert_allclose(after, scores(), atol=1e-6)
        materialize.materialize(job)
        np.testing.assert_array_equal(ranked(asgi), after)
    assert check_online(job, "tiny", bundle=str(folder), rows=60).result.max_score_difference <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", *(pytest.param(one, marks=pytest.mark.redis) for one in SERVERS)])
def test_a_replay_with_a_kill_in_the_middle_equals_the_offline_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    trained(job, tmp_path)
    server = SERVERS[kind][0].start() if kind in SERVERS else None
    try:
        if server is not None:
            monkeypatch.setenv("LLACTR_REDIS", server.address)
            monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(REPOSITORY / SERVERS[kind][1]))
        found = check.replay(job, "tiny", rows=30, workers=2)
        assert (found["rows"], found["rows_with_other_ids"], found["rows_with_other_counts"]) == (30, 0, 0)
        assert found["max_number_difference"] <= 1e-6
        assert found["max_score_difference"] <= 1e-6
        if server is not None:
            for node in server.nodes if isinstance(server, Cluster) else [server]:
                assert node.command("DBSIZE") == b":0\r\n", "nothing of it is left"
    finally:
        if server is not None:
            server.stop()


def test_a_replay_needs_a_bundle_with_history(tmp_path: Path) -> None:
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    trained(job, tmp_path, arm="plain")
    with pytest.raises(InputError, match="reads no history to replay: train one"):
        check.replay(job, "tiny", rows=3)
