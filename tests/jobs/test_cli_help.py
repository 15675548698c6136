from __future__ import annotations

import subprocess
import sys

import pytest

from llactr.evaluation.arms import PLAIN, TREATMENTS
from llactr.evaluation.placebos import PLACEBOS

COMMANDS = (
    "ingest", "finetune", "encode", "apply", "materialize", "train", "evaluate", "diagnose", "predict", "run", "quickstart",
    "tune", "serve", "check", "skew",
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
