"""The command line and a Feast repository of one's own: what it refuses before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from llactr.jobs.cli import app
from tests.store.repository.driver_stats import SPEC


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("init", "--feast", "nowhere", "trips.parquet", "--out", "drafted.yaml"), "name a Feast repository's folder"),
        (("init", "--check", "spec.yaml", "--feast", "nowhere"), "--check reads a spec and no tables"),
        (("ingest", "spec.yaml"), "reads the Feast repository 'repo', and there is no"),
    ],
)
def test_a_repository_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    found = CliRunner().invoke(app, [*arguments, "--workspace", str(tmp_path / "workspace")])
    assert found.exit_code == 2
    assert message in found.output + found.stderr
    assert not (tmp_path / "drafted.yaml").exists()
    assert not (tmp_path / "workspace" / "datasets").exists()


def test_check_lists_what_the_repository_lacks_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(SPEC)
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    found = CliRunner().invoke(app, ["init", "--check", "spec.yaml"])
    line = SPEC.split("\n").index(next(row for row in SPEC.split("\n") if "name: conversion" in row)) + 1
    assert content["feast"] == {"repository": "repo"}
    assert f"spec.yaml:{line}: dataset 'trips' reads the Feast repository 'repo', and there is no" in found.output
    assert found.exit_code == 2
