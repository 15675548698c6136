"""Sockets that are held open, supervisors that are killed, signals that come too early, proxies in the environment."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from llactr.diagnostics import service_agreement
from llactr.errors import StoreError
from llactr.workspace import Workspace
from tests.serving.serving_process import Served

Start = Callable[..., Served]
BODY = {"user": "u1", "items": ["1", "2"], "timestamp": "2024-01-02T03:00:00Z"}
KEY = "k" * 24


def test_sockets_that_drip_do_not_lock_out_who_asks_in_one_piece(workspace: Workspace, serve: Start) -> None:
    """1,024 sockets, a byte every few seconds, reset 14 of 14 honest requests."""
    served = serve(workspace, max_connections=30, variables={"LLACTR_API_KEYS": KEY})
    served.headers["X-API-Key"] = KEY
    head = (
        b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    )
    held = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(60)]
    try:
        for number, connection in enumerate(held):
            with contextlib.suppress(OSError):  # pushed out already
                connection.sendall(head if number % 2 else b"POST /v1/rank HT")
        for _ in range(14):
            assert served.ask("POST", "/v1/rank", BODY).status == 200
    finally:
        for connection in held:
            connection.close()


def test_a_body_that_drips_is_cut(workspace: Workspace, serve: Start) -> None:
    served = serve(workspace, deadline_ms=60_000)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.settimeout(20)
        connection.sendall(
            b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 900\r\n\r\n{"
        )
        try:
            answer = connection.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 200")
    assert served.ask("POST", "/v1/rank", BODY).status == 200


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def test_workers_end_with_their_parent_when_it_is_killed(workspace: Workspace, serve: Start) -> None:
    """After kill -9 of the supervisor workers lived on and held the port."""
    served = serve(workspace, workers=2)
    workers = children(served.process.pid)
    assert len(workers) == 2
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    for _ in range(300):
        if not any(os.path.exists(f"/proc/{pid}") for pid in workers):
            break
        time.sleep(0.1)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", served.port)) != 0


def test_sighup_before_the_bundle_is_loaded_ends_nothing(workspace: Workspace, serve: Start) -> None:
    served = serve(workspace, wait=False)
    # The handler is set by the first line of `run`; what comes before is Python's own start.
    for _ in range(600):
        with open(f"/proc/{served.process.pid}/status") as file:
            ignored = next(line for line in file if line.startswith("SigIgn:")).split()[1]
        if int(ignored, 16) & (1 << (signal.SIGHUP - 1)):
            break
        time.sleep(0.02)
    for _ in range(5):
        os.kill(served.process.pid, signal.SIGHUP)
        time.sleep(0.1)
    served.wait_ready()
    assert served.ask("POST", "/v1/rank", BODY).status == 200


def test_proxy_variables_are_ignored_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    def proxies(url: str) -> Any:
        opener = service_agreement._opener(url)
        return [one.proxies for one in opener.handlers if type(one).__name__ == "ProxyHandler" and one.proxies]  # type: ignore[attr-defined]

    for url in ("http://127.0.0.1:8395", "http://localhost:1", "http://[::1]:80/x"):
        assert proxies(url) == []
    assert proxies("http://example.org")
    with pytest.raises(StoreError, match="no service answers"):
        service_agreement.ask("http://127.0.0.1:1/v1/model", None, None)
