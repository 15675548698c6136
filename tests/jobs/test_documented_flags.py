"""Every flag that README and docs/ name is one that a command has."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from llactr.jobs.cli import app

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {
    # of torchrun and of python -m benchmarks...
    "--nproc-per-node", "--repeats", "--steady-minutes", "--stores", "--configurations",
}  # fmt: skip


def test_every_documented_flag_is_one() -> None:
    command = typer.main.get_command(app)
    known = {"--help"}
    for one in command.commands.values():  # type: ignore[attr-defined]
        for parameter in one.params:
            known |= {*parameter.opts, *parameter.secondary_opts}
    named = {}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "llactr" in line or line.startswith("| `--"):
                for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line):
                    named.setdefault(flag, f"{path.name}: {line.strip()[:100]}")
    assert len(named) > 15
    assert {flag: where for flag, where in named.items() if flag not in known | OTHERS} == {}
