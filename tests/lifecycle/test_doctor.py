"""The doctor says what is wrong, stale or short in a workspace, and what to do; it changes nothing."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from llactr.datasets.steps import ingest_dataset
from llactr.errors import NotReadyError
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.doctor import Finding, examine
from llactr.spec import load_spec
from llactr.steps import Job
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import write_dataset


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One in which a dataset has been ingested, and no more."""
    spec = write_dataset(tmp_path)
    job = Job(workspace=Workspace.at(tmp_path / "w"), terminal=Terminal())
    ingest_dataset(job, load_spec(spec), data_folder=None, beside=tmp_path)
    return job.workspace


def findings(workspace: Workspace, area: str) -> list[Finding]:
    return [one for one in examine(workspace).findings if one.area == area]


def test_after_an_ingest_the_next_steps_are_named(workspace: Workspace) -> None:
    before = sorted(path for path in workspace.root.rglob("*") if "feast" not in path.parts)
    (data,) = findings(workspace, "data")
    assert (data.state, data.dataset) == ("well", "tiny")
    assert "whole bit by bit" in data.said
    assert [one.do for one in findings(workspace, "semantics")] == ["run 'llactr encode'"]
    assert [one.do for one in findings(workspace, "bundle")] == ["run 'llactr train', or all by 'llactr run'"]
    assert sorted(path for path in workspace.root.rglob("*") if "feast" not in path.parts) == before


def test_a_table_that_was_changed_is_wrong(workspace: Workspace) -> None:
    path = next(workspace.offline_table("tiny", "events").glob("*.parquet"))
    path.write_bytes(path.read_bytes() + b"x")
    (data,) = findings(workspace, "data")
    assert data.state == "wrong"
    assert data.said == "its tables are not those that were written"
    assert "llactr ingest" in data.do
    assert not examine(workspace).well


def test_a_damaged_spec_is_wrong_and_the_rest_is_looked_at(workspace: Workspace) -> None:
    (workspace.dataset("tiny") / "spec.yaml").write_text("a: [", encoding="utf-8")
    (data,) = findings(workspace, "data")
    assert data.state == "wrong"
    assert findings(workspace, "clock")[0].state == "well"


@pytest.mark.parametrize(
    ("free", "state", "do"),
    [(2 << 30, "well", ""), (100 << 20, "look", "free some space, or remove what nothing needs: 'llactr gc'")],
)
def test_a_disk_that_is_nearly_full_is_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, free: int, state: str, do: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10 << 30, used=0, free=free))
    (disk,) = findings(workspace, "disk")
    assert (disk.state, disk.do) == (state, do)
    assert disk.said.startswith("2.0 GiB free" if state == "well" else "100.0 MiB free")


def test_files_of_the_future_tell_of_a_clock(workspace: Workspace) -> None:
    assert [one.state for one in findings(workspace, "clock")] == ["well"]
    ahead = time.time() + 3625  # the look may be so much later
    os.utime(workspace.dataset("tiny") / "spec.yaml", (ahead, ahead))
    (clock,) = findings(workspace, "clock")
    assert clock.state == "wrong"
    assert clock.said.startswith("files are 60 minutes ahead")


def test_steps_that_are_older_than_what_they_read_are_named(workspace: Workspace) -> None:
    folder = workspace.artifact("bundles", "old")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"created": "2020-01-01T00:00:00+00:00"}', encoding="utf-8")
    workspace.set_current("tiny", "train", folder)
    said = [(one.said, one.do) for one in findings(workspace, "steps")]
    assert said == [
        ("train is older than 'llactr ingest'",
         "run 'llactr train'; it does nothing where nothing it reads has changed")
    ]  # fmt: skip


def test_no_workspace_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="there is no workspace at"):
        examine(Workspace.at(tmp_path / "nowhere"))
