"""One table on the terminal, and one JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.gpu_check.check import Checked
from llactr.atomic import writing_file

__all__ = ["as_json", "show"]

_COLOURS = {"passed": "green", "failed": "red", "left out": "yellow"}


def as_json(facts: Mapping[str, Any], checks: Sequence[Checked], *, small: bool, bandwidth: float) -> dict[str, Any]:
    """All that was found."""
    return {
        "card": dict(facts),
        "small": small,
        "copy_bytes_per_second": round(bandwidth),
        "passed": all(one.state == "passed" for one in checks),
        "seconds": round(sum(one.seconds for one in checks), 1),
        "checks": [one.as_json() for one in checks],
    }


def show(content: Mapping[str, Any], console: Console) -> None:
    """The table, and below it the aims."""
    card = content["card"]
    console.print(
        f"{card['name']} ({card['device']}), torch {card['torch']}, CUDA {card['cuda']}, driver {card['driver']}; "
        f"a copy moves {content['copy_bytes_per_second'] / 1e9:,.0f} GB/s"
    )
    table = Table("check", "", "what was found", "seconds", "CPU-s")
    for one in content["checks"]:
        colour = _COLOURS[one["state"]]
        cells = (f"{one['seconds']:.1f}", f"{one['cpu_seconds']:.1f}")
        table.add_row(one["name"], f"[{colour}]{one['state']}[/]", one["said"].replace("[", r"\["), *cells)
    console.print(table)
    for one in content["checks"]:
        for aim in one["aims"]:
            console.print(f"{aim['name']}: {aim['found']:,.0f}, wanted {aim['wanted']:,.0f}: {_word(aim['state'])}")
    if card["device"] == "cpu":
        console.print("This was a run on the CPU: it says that the check works, and nothing of a GPU.")


def _word(state: str) -> str:
    return "no aim of a CPU" if state == "no card" else state


def write(content: Mapping[str, Any], file: Path) -> None:
    """Writes the JSON whole or not at all."""
    with writing_file(file) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
