"""Processes that the tests start, and end by their pids: the service, and a Redis server."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llactr.workspace import Workspace
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 240.0
PATIENT = {"deadline_ms": 60_000, "store_timeout_s": 30}
"""Settings of services whose tests are not about being late: a busy machine stands still for more than a second."""

_SCRIPT = """
import json, sys
from llactr.jobs.serve import run
from llactr.errors import LlactrError
from llactr.serving.config import ServeConfig
try:
    run(ServeConfig.of(**json.loads(sys.argv[1])))
except LlactrError as error:
    print(f"llactr: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, *, timeout: float = 120, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            sent = {"Content-Type": "application/json"} | self.headers | headers
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        text = self.ask("GET", "/metrics").body.decode()
        values = [
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))
        ]
        return sum(values)

    def wait_ready(self, *, seconds: float = START_S, status: int = 200) -> float:
        """Seconds until /readyz has a status."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"the service ended with {self.process.returncode}: {self.log.read_text()[-2000:]}"
                )
            try:
                if self.ask("GET", "/readyz", timeout=5).status == status:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"/readyz is not {status} after {seconds} s: {self.log.read_text()[-2000:]}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def environment(**variables: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LLACTR_", "PROMETHEUS_", "FEAST_"))}
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return kept | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"} | variables


def serve_process(
    workspace: Workspace, *, wait: bool = True, variables: dict[str, str] | None = None, **settings: Any
) -> Served:
    """The service on a free port of this machine, ready unless `wait` is false."""
    port = free_port()
    content = {"workspace": str(workspace.root), "port": port} | PATIENT | settings
    descriptor, name = tempfile.mkstemp(prefix="serve-", suffix=".log")
    atexit.register(Path(name).unlink, missing_ok=True)  # a test may read it after the service has ended
    with os.fdopen(descriptor, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, json.dumps(content)],
            stdout=log,
            stderr=log,
            env=environment(**(variables or {})),
            cwd=workspace.root,
        )
    served = Served(process, port, Path(name))
    if wait:
        try:
            served.wait_ready()
        except AssertionError:
            served.stop()
            raise
    return served


@dataclass
class Redis:
    """A real server, with its own folder, that keeps its data over a restart."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls) -> Redis:
        if shutil.which("redis-server") is None:
            pytest.skip("no redis-server on this machine: install the package redis-server")
        server = cls(free_port(), Path(tempfile.mkdtemp(prefix="redis-")))
        server.up()
        return server

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def up(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--dir", str(self.folder), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1200):
            with suppress(OSError):
                if self.command("PING").startswith(b"+PONG"):
                    return
            time.sleep(0.05)
        self.stop()
        raise AssertionError("redis-server does not answer")

    def command(self, *words: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            packed = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
            connection.sendall(packed.encode())
            return connection.recv(4096)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
