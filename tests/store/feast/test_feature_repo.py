"""The repository by itself, through Feast's own command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from feast.cli.cli import cli

from llactr import store
from llactr.store import OnlineReader
from llactr.workspace import Workspace
from tests.store.store_workspace import TIMESTAMP, at, small, vectors_for


def feast(*arguments: str, workspace: str | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("LLACTR_WORKSPACE", "PYTHONWARNINGS")}
    environment["PYTHONPATH"] = str(store.REPOSITORY.parent)
    if workspace is not None:
        environment["LLACTR_WORKSPACE"] = workspace
    command = [sys.executable, "-c", "from feast.cli.cli import cli; cli()", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """Feast's command line in this process, for what needs no process of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)  # Feast sets it
    yield lambda *arguments: CliRunner().invoke(cli, ["-c", str(store.REPOSITORY), *arguments])
    sys.modules.pop("definitions", None)


@pytest.mark.parametrize(
    "command", [["apply"], ["materialize", "2020-01-01", "2030-01-01"], ["materialize-incremental", "2030-01-01"]]
)
def test_before_data_one_sentence_says_what_to_run(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("LLACTR_WORKSPACE", str(tmp_path / "none"))
    ran = invoke(*command)
    assert ran.exit_code == 2
    assert ran.output.strip().splitlines()[-1].startswith("Error: ")
    assert ran.output.strip().endswith("run 'llactr ingest' first")
    assert not (tmp_path / "none").exists()


def test_before_apply_one_sentence_says_so(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLACTR_WORKSPACE", str(small(tmp_path / "ws").workspace.root))
    ran = invoke("materialize-incremental", "2030-01-01")
    assert ran.exit_code == 2
    assert ran.output.strip().endswith("run 'llactr apply', or 'feast apply' in feature_repo, first")


def test_a_relative_workspace_has_no_meaning_where_feast_changes_directory(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLACTR_WORKSPACE", "relative")
    for command in (["apply"], ["materialize", "2020-01-01", "2030-01-01"]):
        ran = invoke(*command)
        assert ran.exit_code == 2
        assert "LLACTR_WORKSPACE is the relative path 'relative'" in ran.output
        assert ran.output.strip().endswith("set an absolute path")


def test_apply_and_materialize_work_by_themselves(tmp_path: Path) -> None:
    offline = small(tmp_path / "my workspace")
    root = str(offline.workspace.root)
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v1"))
    store.release(offline.workspace, "small", "v1")
    inside = feast("apply", workspace=root, cwd=store.REPOSITORY)
    assert (inside.returncode, inside.stderr) == (0, "")
    # A first incremental run takes in all of an old data set, not the last 52 weeks.
    incremental = feast(
        "-c", str(store.REPOSITORY), "materialize-incremental", "2026-01-01", workspace=root, cwd=tmp_path
    )
    assert (incremental.returncode, incremental.stderr) == (0, "")
    columns = {"user_id": ["u1"], "item_id": ["i1"], "device": ["tv"], "event_timestamp": pa.array([at(0)], TIMESTAMP)}
    reader = OnlineReader(offline.workspace, offline.spec)
    assert reader.features(pa.table(columns))["age"].to_pylist() == [30.0]
    assert reader.current_release() == "v1"
    assert not (store.REPOSITORY / "feast").exists()


def test_the_default_workspace_lies_beside_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLACTR_WORKSPACE", raising=False)
    assert store.repository_workspace(store.REPOSITORY) == Workspace(store.REPOSITORY.parent / ".llactr")
    monkeypatch.setenv("LLACTR_WORKSPACE", "/somewhere/else")
    assert store.repository_workspace(store.REPOSITORY) == Workspace(Path("/somewhere/else"))
