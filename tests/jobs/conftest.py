"""A workspace in which the whole pipeline has run once on the small dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from llactr.jobs.cli import app
from tests.jobs.tiny_dataset import CONFIG, write_dataset


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def llactr() -> Callable[..., Answer]:
    """Runs a command in this process."""

    def call(*arguments: object) -> Answer:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call


@dataclass(frozen=True)
class Ran:
    """A workspace after `llactr run`."""

    workspace: Path
    spec: Path
    config: Path
    summary: dict[str, Any]
    seconds: float  # by the clock on the wall


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, llactr: Callable[..., Answer]) -> Ran:
    folder = tmp_path_factory.mktemp("with space ünï")
    spec = write_dataset(folder)
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    workspace = folder / "workspace 'quoted'"
    began = time.perf_counter()
    answer = llactr("run", spec, "--config", config, "--workspace", workspace, "--json")
    assert answer.code == 0, answer.err
    return Ran(workspace, spec, config, answer.json, time.perf_counter() - began)
