"""The parent of several workers: what it does where one of them would not serve."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llactr.errors import InputError, StepError
from llactr.serving import workers
from llactr.serving.config import ServeConfig

REFUSES = InputError.exit_code
SERVES = None


class Scripted(workers._Supervisor):
    """Starts processes that end with the given codes, one after another; None is one that goes on."""

    def __init__(self, folder: Path, codes: list[int | None]) -> None:
        super().__init__(ServeConfig(workspace=folder, dataset="tiny", workers=2), socket.socket(), folder)
        self.codes, self.pids = iter(codes), []
        self._workers = [self._start(), self._start()]

    def _start(self) -> subprocess.Popen[bytes]:
        code = next(self.codes)
        ends = "import time; time.sleep(600)" if code is None else f"raise SystemExit({code})"
        started = subprocess.Popen([sys.executable, "-c", ends])
        if code is not None:
            started.wait()
        self.pids.append(started.pid)
        return started

    def end(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()
        self._listener.close()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Any]:
    made: list[Scripted] = []

    def make(*codes: int | None) -> Scripted:
        made.append(Scripted(tmp_path, list(codes)))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_workers_that_all_refuse_end_the_service(scripted: Any) -> None:
    with pytest.raises(InputError, match="the workers refuse to serve"):
        scripted(REFUSES, REFUSES)._replace_dead()


def test_one_that_refuses_beside_one_that_serves_is_tried_again_later(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(workers.time, "monotonic", lambda: now)
    parent = scripted(SERVES, REFUSES, REFUSES, SERVES)
    for _ in range(20):
        parent._replace_dead()
    assert len(parent.pids) == 2, "it waits"
    now += workers._REFUSED_PAUSE_S
    parent._replace_dead()
    assert len(parent.pids) == 3
    parent._replace_dead()  # that one refused as well
    assert len(parent.pids) == 3
    now += workers._REFUSED_PAUSE_S
    parent._replace_dead()
    assert len(parent.pids) == 4
    assert [worker.poll() for worker in parent._workers] == [None, None]


def test_one_that_dies_is_replaced_at_once_and_many_deaths_end_the_service(scripted: Any) -> None:
    parent = scripted(SERVES, *[1] * 11)
    for starts in range(3, 13):
        parent._replace_dead()
        assert len(parent.pids) == starts
    with pytest.raises(StepError, match="workers died 11 times within a minute"):
        parent._replace_dead()
