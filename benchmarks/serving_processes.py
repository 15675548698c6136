"""The processes of the serving benchmark, their CPU time and memory; each is ended by its own pid."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Process", "cpu_seconds", "load", "redis_server", "resident_mb", "service"]

ROOT = Path(__file__).resolve().parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")
_START_S = 120.0

_SERVE = """
import json, sys
from llactr.jobs.serve import run
from llactr.serving.config import ServeConfig
run(ServeConfig.of(**json.loads(sys.argv[1])))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A started service."""

    def __init__(self, command: list[str], port: int, environment: dict[str, str]) -> None:
        self.port = port
        # Not a pipe: one that nobody reads is full some day, and the service waits for it.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=self._said
        )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.get("/readyz")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    self.process.wait()
                    self._said.seek(0)
                    raise SystemExit(f"the service does not start: {self._said.read().decode()[-2000:]}") from None
                time.sleep(0.2)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return bytes(answer.read())

    def metrics(self) -> dict[str, float]:
        lines = [line for line in self.get("/metrics").decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._said.close()


def children(pid: int) -> list[int]:
    """The pids of a process and of the workers under it."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid, *(child for one in text.split() for child in children(int(one)))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its workers."""
    total = 0.0
    for one in children(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its workers."""
    return (
        sum(
            int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") for one in children(pid)
        )
        / 2**20
    )


def environment(redis: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLACTR_", "PROMETHEUS_"))}
    return kept | {"LLACTR_REDIS": redis, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@contextlib.contextmanager
def service(workspace: Path, *, redis: str, baseline: bool = False, **settings: Any) -> Iterator[Process]:
    """The service, or the baseline."""
    port = free_port()
    config = str(ROOT / "feature_repo" / "feature_store.redis.yaml")
    if baseline:
        command = [
            sys.executable,
            "-m",
            "benchmarks.serving_baseline",
            "--workspace",
            str(workspace),
            "--port",
            str(port),
        ]
        command += ["--feast-config", config]
    else:
        content = {"workspace": str(workspace), "port": port, "feast_config": config} | settings
        command = [sys.executable, "-c", _SERVE, json.dumps(content)]
    started = Process(command, port, environment(redis))
    try:
        yield started
    finally:
        started.stop()


@contextlib.contextmanager
def redis_server() -> Iterator[tuple[str, int]]:
    """A Redis of our own: its address and pid."""
    if shutil.which("redis-server") is None:
        raise SystemExit("no redis-server on this machine: install the package redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait()


def load(
    port: int,
    bodies: Path,
    *,
    seconds: float,
    connections: int,
    rate: float | None = None,
    target: str = "POST /v1/rank",
) -> dict[str, Any]:
    """One run of the load generator."""
    command = [sys.executable, "-m", "benchmarks.serving_load", "--port", str(port), "--bodies", str(bodies)]
    command += ["--seconds", str(seconds), "--connections", str(connections)] + (["--rate", str(rate)] if rate else [])
    command += ["--target", target]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=seconds + 60)
    content: dict[str, Any] = json.loads(done.stdout)
    return content
