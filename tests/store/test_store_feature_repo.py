"""The repository by itself, through Feast's own command line in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from store_workspace import TIMESTAMP, at, small, vectors_for

from llactr import store
from llactr.store import OnlineReader
from llactr.workspace import Workspace


def feast(*arguments: str, workspace: str | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("LLACTR_WORKSPACE", "PYTHONWARNINGS")}
    environment["PYTHONPATH"] = str(store.REPOSITORY.parent)
    if workspace is not None:
        environment["LLACTR_WORKSPACE"] = workspace
    command = [sys.executable, "-c", "from feast.cli.cli import cli; cli()", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    "command", [["apply"], ["materialize", "2020-01-01", "2030-01-01"]], ids=["apply", "materialize"]
)
def test_before_data_one_sentence_says_what_to_run(tmp_path: Path, command: list[str]) -> None:
    ran = feast("-c", str(store.REPOSITORY), *command, workspace=str(tmp_path / "none"), cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.strip().splitlines()[-1].endswith("run 'llactr ingest' first")
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "none").exists()


def test_apply_and_materialize_work_by_themselves(tmp_path: Path) -> None:
    offline = small(tmp_path / "my workspace")
    root = str(offline.workspace.root)
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v1"))
    store.release(offline.workspace, "small", "v1")
    too_early = feast(
        "-c", str(store.REPOSITORY), "materialize-incremental", "2030-01-01", workspace=root, cwd=tmp_path
    )
    assert "run 'llactr apply', or 'feast apply' in feature_repo, first" in too_early.stderr
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


def test_a_relative_workspace_has_no_meaning_where_feast_changes_directory(tmp_path: Path) -> None:
    ran = feast("-c", str(store.REPOSITORY), "apply", workspace="relative", cwd=tmp_path)
    assert ran.returncode == 2
    assert "LLACTR_WORKSPACE is the relative path 'relative'" in ran.stderr
    assert "set an absolute path" in ran.stderr


def test_the_default_workspace_lies_beside_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLACTR_WORKSPACE", raising=False)
    assert store.repository_workspace(store.REPOSITORY) == Workspace(store.REPOSITORY.parent / ".llactr")
    monkeypatch.setenv("LLACTR_WORKSPACE", "/somewhere/else")
    assert store.repository_workspace(store.REPOSITORY) == Workspace(Path("/somewhere/else"))
