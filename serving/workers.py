"""Several worker processes behind one socket, under a parent that starts, signals and replaces them.

uvicorn's own supervisor restarts its workers on SIGHUP; here SIGHUP means a new bundle without downtime.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from llactr.errors import InputError, StepError
from llactr.serving.config import ServeConfig
from llactr.serving.control import Control
from llactr.serving.loaded import bundle_folder

__all__ = ["config_of", "end_with_parent", "supervise"]

_LOG = logging.getLogger(__name__)
_POLL_S = 0.2
_PARENT_POLL_S = 0.5
_LAST_WORD_S = 15.0
_RESTARTS_PER_MINUTE = 10
_REFUSED_PAUSE_S = 10.0


def supervise(config: ServeConfig, listener: socket.socket) -> None:
    """Runs `config.workers` workers until SIGTERM or SIGINT.

    Raises:
        InputError: the bundle cannot be served.
        StepError: workers keep dying.
    """
    bundle_folder(config, config.bundle)  # said once, before any worker says it
    for other in (config.compare_bundle, config.shadow):
        if other is not None:
            bundle_folder(config, other)
    with tempfile.TemporaryDirectory(prefix="llactr-serve-") as folder:
        _Supervisor(config, listener, Path(folder)).run()


class _Supervisor:
    def __init__(self, config: ServeConfig, listener: socket.socket, folder: Path) -> None:
        self._config = config
        self._listener = listener
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []
        self._ending = False
        self._restarts: list[float] = []
        self._refused: dict[int, float] = {}  # place of a worker that would not serve -> when another is tried

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self._pass_on)
        try:
            self._workers = [self._start() for _ in range(self._config.workers)]
            while not self._ending:
                time.sleep(_POLL_S)
                self._replace_dead()
        finally:
            self._stop_all()

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        shared = dict.fromkeys(("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"), str(self._folder))
        environment = os.environ | shared
        worker = subprocess.Popen(
            [sys.executable, "-m", "llactr.serving.worker"],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
            env=environment,
        )
        order = {
            "config": _with_secrets(self._config),
            "socket": descriptor,
            "folder": str(self._folder),
            "parent": os.getpid(),
        }
        assert worker.stdin is not None
        try:
            worker.stdin.write(json.dumps(order).encode())
            worker.stdin.close()
        except BrokenPipeError:
            _LOG.error("worker %d died at once", worker.pid)
        return worker

    def _replace_dead(self) -> None:
        for place, worker in enumerate(self._workers):
            code = worker.poll()
            if code is None or self._ending or self._waits(place):
                continue
            mark_process_dead(worker.pid, str(self._folder))
            if code == InputError.exit_code:
                self._wait_or_end(place, worker)
                continue
            self._restarts = [moment for moment in self._restarts if moment > time.monotonic() - 60] + [
                time.monotonic()
            ]
            if len(self._restarts) > _RESTARTS_PER_MINUTE:
                raise StepError(f"workers died {len(self._restarts)} times within a minute: the log above says why")
            _LOG.error("worker %d ended with code %d, another one takes its place", worker.pid, code)
            self._workers[place] = self._start()

    def _waits(self, place: int) -> bool:
        """Whether a place stays empty for now, as the last worker there would not serve; else another one starts."""
        if place not in self._refused:
            return False
        if time.monotonic() >= self._refused[place]:
            del self._refused[place]
            self._workers[place] = self._start()
        return True

    def _wait_or_end(self, place: int, worker: subprocess.Popen[bytes]) -> None:
        """Where others serve, a worker that would not is tried again later: what it could not load may come back.

        Raises:
            InputError: no other is left.
        """
        if all(other.poll() is not None for other in self._workers):
            raise InputError("the workers refuse to serve: the message above says why")
        self._refused[place] = time.monotonic() + _REFUSED_PAUSE_S
        _LOG.error(
            "worker %d refuses to serve, as the message above says; the others go on, another one is tried in %g s",
            worker.pid, _REFUSED_PAUSE_S,
        )  # fmt: skip

    def _stop_all(self) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + _LAST_WORD_S + self._config.deadline_ms / 1000
        for worker in self._workers:
            try:
                worker.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _LOG.error("worker %d does not end, and is killed", worker.pid)
                worker.kill()
                worker.wait()

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(number)

    def _end(self, _: int, __: FrameType | None) -> None:
        self._ending = True

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        Control(self._folder, os.getpid()).hangup()
        self._signal(number)


def _with_secrets(config: ServeConfig) -> dict[str, Any]:
    """The configuration as JSON, keys included; it goes through a pipe, where no process list shows it."""
    content = config.model_dump(mode="json")
    content["api_keys"] = [key.get_secret_value() for key in config.api_keys]
    content["admin_key"] = config.admin_key.get_secret_value() if config.admin_key else None
    return content


def end_with_parent(parent: int) -> None:
    """Ends this worker once its parent is gone, by kill -9 too: it would hold the port, and nobody would reload it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
        _LOG.error("the parent process is gone: this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def config_of(order: dict[str, Any]) -> tuple[ServeConfig, socket.socket, Control]:
    """What a worker was told on its standard input."""
    control = Control(Path(order["folder"]), int(order["parent"]))
    return ServeConfig.model_validate(order["config"]), socket.socket(fileno=int(order["socket"])), control
