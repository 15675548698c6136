"""Redis goes away under load, is emptied, hangs; materialization runs alongside, and is killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from llactr.store import OnlineReader, apply, materialize
from llactr.workspace import Workspace
from tests.serving.serving_process import ROOT, Redis, Served, environment
from tests.serving.serving_workspace import REDIS_CONFIG, START, items_table, spec_of, write_table

pytestmark = pytest.mark.redis
BODY = {"user": "u1", "items": [str(i) for i in range(50)], "timestamp": "2024-01-02T03:00:00Z"}
Start = Callable[..., Served]


class Load:
    """Threads that send one request after the other, and remember every answer."""

    def __init__(self, served: Served, *, threads: int = 4) -> None:
        self.served = served
        self.statuses: Counter[int] = Counter()
        self.scores: set[tuple[float, ...]] = set()
        self.failures: list[str] = []
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def await_more(self, status: int, *, count: int = 20) -> None:
        """Waits for some more answers of a status."""
        wanted = self.statuses[status] + count
        for _ in range(1200):
            if self.statuses[status] >= wanted:
                return
            time.sleep(0.05)
        raise AssertionError(f"no {status} came: {self.statuses}, {self.failures}")

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                answer = self.served.ask("POST", "/v1/rank", BODY, timeout=60)
            except OSError as error:
                with self._lock:
                    self.failures.append(repr(error))
                continue
            with self._lock:
                self.statuses[answer.status] += 1
                if answer.status == 200:
                    self.scores.add(tuple(answer.json["scores"]))
                elif answer.status != 503 or answer.headers.get("retry-after") != "1":
                    self.failures.append(f"{answer.status} {answer.body!r}")
            time.sleep(0.002)


@pytest.fixture
def redis_served(redis: Redis, redis_workspace: Workspace, serve: Start) -> Served:
    return served_from(redis, redis_workspace, serve)


def served_from(redis: Redis, workspace: Workspace, serve: Start, **settings: float) -> Served:
    variables = {"LLACTR_REDIS": redis.address}
    return serve(workspace, feast_config=str(REDIS_CONFIG), cache_ttl_s=0, variables=variables, **settings)


def test_killed_and_restarted_under_load(redis: Redis, redis_served: Served) -> None:
    expected = np.array(redis_served.ask("POST", "/v1/rank", BODY).json["scores"])
    with Load(redis_served) as load:
        for _ in range(2):
            load.await_more(200)
            redis.kill()
            redis_served.wait_ready(status=503, seconds=60)
            load.await_more(503)
            redis.up()
            redis_served.wait_ready(seconds=60)
        load.await_more(200)
    assert load.failures == []
    assert set(load.statuses) == {200, 503}
    # Micro-batches differ in the last bit; nothing else may.
    assert all(np.abs(np.array(scores) - expected).max() <= 1e-6 for scores in load.scores)


def test_a_redis_that_was_emptied_is_not_scored_from(
    redis: Redis, redis_served: Served, redis_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = redis_served.ask("POST", "/v1/rank", BODY).json["scores"]
    redis.command("FLUSHALL")
    answer = redis_served.ask("POST", "/v1/rank", BODY)
    assert answer.status == 503
    assert "run 'llactr materialize'" in answer.json["detail"]
    redis_served.wait_ready(status=503, seconds=60)
    monkeypatch.setenv("LLACTR_REDIS", redis.address)
    materialize(redis_workspace, config=REDIS_CONFIG)
    redis_served.wait_ready(seconds=60)
    assert redis_served.ask("POST", "/v1/rank", BODY).json["scores"] == pytest.approx(expected, abs=1e-6)


def test_a_redis_that_hangs_is_noticed(redis: Redis, redis_workspace: Workspace, serve: Start) -> None:
    """It stands still until both answers are there, so neither can have waited for it."""
    served = served_from(redis, redis_workspace, serve, deadline_ms=1000, store_timeout_s=1)
    assert redis.process is not None
    redis.process.send_signal(signal.SIGSTOP)
    try:
        answer = served.ask("POST", "/v1/rank", BODY, timeout=60)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        served.wait_ready(status=503, seconds=60)
    finally:
        redis.process.send_signal(signal.SIGCONT)
    served.wait_ready(seconds=60)
    answers = [served.ask("POST", "/v1/rank", BODY).status for _ in range(20)]  # a busy machine may be late for one
    assert 200 in answers
    assert set(answers) <= {200, 503}


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_materialization_alongside_neither_blocks_nor_breaks(
    kind: str, request: pytest.FixtureRequest, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "redis":
        workspace, config = request.getfixturevalue("redis_workspace"), REDIS_CONFIG
        monkeypatch.setenv("LLACTR_REDIS", request.getfixturevalue("redis").address)
    else:
        workspace, config = request.getfixturevalue("workspace"), None
        apply(workspace)
    variables = {"LLACTR_REDIS": os.environ.get("LLACTR_REDIS", "")}
    served = serve(workspace, feast_config=str(config) if config else None, cache_ttl_s=0, variables=variables)
    expected = np.array(served.ask("POST", "/v1/rank", BODY).json["scores"])
    with Load(served) as load:
        for _ in range(3):
            materialize(workspace, config=config)
    assert load.failures == []
    assert set(load.statuses) == {200}
    assert load.statuses[200] >= 20
    assert all(np.abs(np.array(scores) - expected).max() <= 1e-6 for scores in load.scores)


_MATERIALIZE = """
import sys
from pathlib import Path
from llactr.store import materialize
from llactr.workspace import Workspace
print("begun", flush=True)
materialize(Workspace.at(sys.argv[1]), config=Path(sys.argv[2]) if sys.argv[2] else None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_materialization_killed_half_way_and_run_again_ends_right(
    kind: str, request: pytest.FixtureRequest, serve: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """New prices for all items: after the kill some are old and some new, after the second run all are new."""
    if kind == "redis":
        workspace, config = request.getfixturevalue("redis_workspace"), str(REDIS_CONFIG)
        monkeypatch.setenv("LLACTR_REDIS", request.getfixturevalue("redis").address)
    else:
        workspace, config = request.getfixturevalue("workspace"), ""
        apply(workspace)
    variables = {"LLACTR_REDIS": os.environ.get("LLACTR_REDIS", "")}
    served = serve(workspace, feast_config=config or None, cache_ttl_s=0, variables=variables)
    items = 20_000
    later = items_table(items, seed=9, when=START + timedelta(days=30))
    write_table(workspace, "shop", "item", later, part=7)
    command = [sys.executable, "-c", _MATERIALIZE, str(workspace.root), config]
    process = subprocess.Popen(
        command, env=environment(**variables), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    time.sleep(1.0)
    process.kill()
    process.wait()
    process.stdout.close()
    assert served.ask("POST", "/v1/rank", BODY).status == 200  # a view left MATERIALIZING is still read
    materialize(workspace, config=Path(config) if config else None)
    wanted = [str(i) for i in range(0, items, 37)]
    body = {"user": "u1", "items": wanted[:900], "return_features": True}
    found = served.ask("POST", "/v1/rank", body).json["features"]
    prices = later["price"].to_pylist()
    assert found["price"] == [prices[int(key)] for key in wanted[:900]]
    assert OnlineReader(workspace, spec_of(), config=Path(config) if config else None).current_release() == "v-one"
    (workspace.offline_table("shop", "item") / "part-00007.parquet").unlink()
