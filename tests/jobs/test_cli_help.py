from __future__ import annotations

import os
import subprocess
import sys

import pytest

from llactr.evaluation.arms import PLAIN, TREATMENTS
from llactr.evaluation.placebos import PLACEBOS

COMMANDS = (
    "ingest", "finetune", "encode", "apply", "materialize", "snapshots", "train", "evaluate", "diagnose", "score", "export", "run", "quickstart",
    "tune", "serve", "push", "check", "skew", "promote", "rollback", "releases", "gc", "list", "show", "compare", "rm",
    "advance", "replay",
)  # fmt: skip
HEAVY = {"torch", "feast", "faiss", "transformers", "sentence_transformers", "pandas", "pyarrow", "numpy", "duckdb"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_json_and_workspace(llactr, command):
    answer = llactr(command, "--help")
    assert answer.code == 0
    for option in ("--json", "--workspace"):
        assert option in answer.out


def test_help_imports_nothing_heavy():
    script = "import sys; from llactr.jobs.cli import app; app(['train', '--help'], standalone_mode=False); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "llactr.ctr.backbones.fm" not in found.stdout.split()
    loaded = {name.split(".")[0] for name in found.stdout.split()}
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_the_help_of_evaluate_lists_the_arms(llactr, monkeypatch):
    """The text stands in the command, so that help imports nothing: it names what can be parsed, whoever adds to that."""
    monkeypatch.setenv("COLUMNS", "200")
    words = " ".join(llactr("evaluate", "--help").out.replace("│", " ").split())
    for arm in (PLAIN, *TREATMENTS):
        assert str(arm) in words
    for placebo in PLACEBOS:
        assert placebo in words
    assert "cold" not in words


@pytest.mark.parametrize("command", ["train", "tune", "evaluate"])
def test_help_names_the_backbones_that_there_are(llactr, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "200")
    words = " ".join(llactr(command, "--help").out.replace("│", " ").split())
    assert "fm, fwfm, fmfm, deepfm, finalmlp, wukong, din" in words


def test_help_names_a_backbone_of_an_installed_package_without_importing_it(tmp_path):
    """The package is not there at all, only what an installer writes about it."""
    installed = tmp_path / "acme_ctr-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-ctr\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[llactr.backbones]\ncrossnet = acme_ctr:CrossNet\n")
    found = subprocess.run(
        [sys.executable, "-m", "llactr.jobs.cli", "train", "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = " ".join(found.stdout.replace("│", " ").split())
    assert "wukong, din, crossnet." in words
