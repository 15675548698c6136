"""The service as operators run it: a process that gets signals, keys and workers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llactr.ctr import Bundle
from llactr.errors import InputError
from llactr.jobs.serve import run
from llactr.serving.config import ServeConfig
from llactr.serving.loaded import load_bundle
from llactr.serving.metrics import Metrics
from llactr.store.tables import read_files
from llactr.workspace import Workspace
from tests.serving.serving_process import Served

BODY = {"user": "u1", "items": ["1", "2", "3"], "timestamp": "2024-01-02T03:00:00Z"}
Start = Callable[..., Served]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_sighup_loads_the_bundle_trained_last_without_a_failed_request(workspace: Workspace, serve: Start) -> None:
    served = serve(workspace)
    assert served.ask("POST", "/v1/rank", BODY).json["bundle"] == "first"
    workspace.set_current("shop", "train", workspace.artifact("bundles", "second"))
    served.process.send_signal(signal.SIGHUP)
    seen = set()

    def switched() -> bool:
        answer = served.ask("POST", "/v1/rank", BODY)
        assert answer.status == 200
        seen.add(answer.json["bundle"])
        return answer.json["bundle"] == "second"

    wait_for(switched)
    assert seen <= {"first", "second"}


def test_sigterm_ends_well_and_writes_the_log(workspace: Workspace, serve: Start) -> None:
    served = serve(workspace, log_rate=1.0, log_flush_s=60)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: served.ask("POST", "/v1/rank", BODY), range(50)))
    assert {answer.status for answer in answers} == {200}
    folder = workspace.offline_table("shop", "served")
    assert not folder.exists()
    assert served.metric("llactr_served_log_rows_total") == 150
    assert served.stop() == 0
    assert read_files(folder, first_run="x").num_rows == 150


def test_sqlite_goes_away_and_comes_back(workspace: Workspace, serve: Start) -> None:
    served = serve(workspace, cache_ttl_s=0)
    expected = served.ask("POST", "/v1/rank", BODY).json["scores"]
    path = workspace.feast / "online.db"
    away = path.with_name("away.db")
    os.rename(path, away)
    served.wait_ready(status=503, seconds=60)
    answer = served.ask("POST", "/v1/rank", BODY)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    os.rename(away, path)
    served.wait_ready(seconds=60)
    assert served.ask("POST", "/v1/rank", BODY).json["scores"] == pytest.approx(expected, abs=1e-6)


def test_a_service_starts_before_its_store(workspace: Workspace, serve: Start) -> None:
    path = workspace.feast / "online.db"
    os.rename(path, path.with_name("away.db"))
    served = serve(workspace, wait=False)
    served.wait_ready(status=503)
    assert served.ask("POST", "/v1/rank", BODY).status == 503
    assert served.ask("GET", "/healthz").status == 200
    assert served.ask("GET", "/openapi.json").status == 200
    os.replace(path.with_name("away.db"), path)
    served.wait_ready()
    assert served.ask("POST", "/v1/rank", BODY).status == 200


@pytest.mark.slow
def test_two_workers_serve_one_port_and_reload_together(workspace: Workspace, serve: Start) -> None:
    admin = "a" * 24
    served = serve(workspace, workers=2, log_rate=1.0, variables={"LLACTR_ADMIN_KEY": admin})
    wait_for(lambda: len(children(served.process.pid)) == 2)
    prefixes: set[str] = set()
    asked = 0

    def both_answer() -> bool:
        nonlocal asked
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: served.ask("POST", "/v1/rank", BODY), range(40)))
        asked += 40
        assert {answer.status for answer in answers} == {200}
        prefixes.update(answer.json["request_id"].split("-")[0] for answer in answers)
        return len(prefixes) == 2

    wait_for(both_answer, 90)
    assert served.metric("llactr_scored_rows_total") >= 3 * asked  # of both together
    reloaded = served.ask("POST", "/v1/admin/reload", {"bundle": "second"}, **{"X-API-Key": admin})
    assert reloaded.json["bundle"] == "second"
    wait_for(lambda: {served.ask("POST", "/v1/rank", BODY).json["bundle"] for _ in range(20)} == {"second"})
    # A worker that dies is replaced, by one with the bundle asked for last.
    victim = children(served.process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in children(served.process.pid) and len(children(served.process.pid)) == 2)
    served.wait_ready()
    assert {served.ask("POST", "/v1/rank", BODY).json["bundle"] for _ in range(20)} == {"second"}
    workers = children(served.process.pid)
    assert served.stop() == 0
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bundle": "nope"}, r"no bundle 'nope': give a folder, or an id under"),
        ({"dataset": "nope"}, "no bundle of 'nope'"),
        ({"workspace": Path("/does/not/exist")}, "no workspace /does/not/exist: run 'llactr quickstart' first"),
        ({"compare_bundle": "nope"}, "no bundle 'nope'"),
        ({"bundle": "nope", "workers": 2}, "no bundle 'nope'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_served(
    built: Workspace, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(ServeConfig.of(environment={}, **({"workspace": built.root, "port": 0} | settings)))


def test_a_bundle_that_is_worse_than_a_constant_is_refused_unless_told(workspace: Workspace) -> None:
    facts = {"rows": 900, "clicks": 33, "auc": 0.4384, "logloss": 0.606, "constant_logloss": 0.034,
             "expected_clicks": 33.0}  # fmt: skip
    sound = Bundle.load(workspace.artifact("bundles", "first"))
    folder = workspace.artifact("bundles", "poor")
    with workspace.writing(folder) as draft:
        dataclasses.replace(sound, metrics={"test": facts}).save(draft)
    told = ServeConfig.of(environment={}, workspace=workspace.root, port=0, bundle="poor")
    with pytest.raises(InputError, match=r"poor is not fit to be served: test AUC is 0\.4384, below chance") as refused:
        run(told)
    assert "logloss is 0.6060, worse than the 0.0340 of a constant" in str(refused.value)
    assert str(refused.value).endswith("train another one, or give --anyway")

    async def loaded() -> str:
        found = await load_bundle(folder, told.model_copy(update={"anyway": True}), metrics=Metrics())
        await found.reader.close()
        return found.id

    assert asyncio.run(loaded()) == "poor"


def test_a_port_in_use_is_said(built: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port} .*: choose another --port"):
            run(ServeConfig.of(environment={}, workspace=built.root, port=port))


def test_tls(workspace: Workspace, serve: Start, tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl on this machine")
    import ssl
    import urllib.request

    served = serve(workspace, wait=False, tls_certificate=str(certificate), tls_key=str(key))
    context = ssl.create_default_context(cafile=str(certificate))

    def alive() -> bool:
        try:
            url = f"https://localhost:{served.port}/healthz"
            with urllib.request.urlopen(url, context=context, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for(alive, 90)


def test_heads_without_end_and_too_many_connections_are_cut(workspace: Workspace, serve: Start) -> None:
    served = serve(workspace, max_connections=20)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.settimeout(20)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")

        def fill() -> None:
            for _ in range(100):
                connection.sendall(b"X-Filler: " + b"a" * 1000 + b"\r\n")
                time.sleep(0.005)

        with pytest.raises(ConnectionError):
            fill()
    opened = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(40)]
    for connection in opened:
        connection.setblocking(False)
    wait_for(lambda: sum(map(is_cut, opened)) >= 20)
    for connection in opened:
        connection.close()

    def answers() -> bool:
        try:
            return served.ask("POST", "/v1/rank", BODY).status == 200
        except OSError:  # not all of the others are let go of yet
            return False

    wait_for(answers)


def is_cut(connection: socket.socket) -> bool:
    """Whether the other side has ended it."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
