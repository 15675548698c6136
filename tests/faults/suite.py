"""The steps that are killed, the killing, and the table of how it went."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.faults.canonical import canonical, differences
from tests.jobs.tiny_dataset import CONFIG, write_dataset

__all__ = ["STEPS", "Outcome", "Suite", "markdown"]

_CHILD = Path(__file__).with_name("child.py")

STEPS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest", "SPEC"),
    "re-ingest": ("ingest", "OTHER"),
    "append": ("ingest", "OTHER", "--append", "--data", "MORE"),
    "encode": ("encode", "--untuned"),
    "apply": ("apply",),
    "materialize": ("materialize",),
    "train": ("train", "--config", "CONFIG", "--threads", "1"),
    "advance": ("advance", "--data", "LATER", "--config", "DAY", "--threads", "1"),
    "forget": ("forget", "--user", "p3"),
}
"""Name -> arguments; each goes on from where the one before ended."""


@dataclass
class Outcome:
    """One step: file-system calls of an undisturbed run, kills, and the kills after which a second run differed."""

    step: str
    calls: int
    kills: int = 0
    other: dict[int, list[str]] = field(default_factory=dict)


class Suite:
    """A workspace that is put back, killed, and run again.

    Args:
        folder: an empty folder for all of it.
    """

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self._states = folder / "states"
        self._count = folder / "count"
        self._places = _sources(folder / "data")

    def run(self, steps: Sequence[str] = tuple(STEPS), *, most_kills: int | None = None) -> Iterator[Outcome]:
        """Kills steps one after another.

        Args:
            steps: which; the others are run undisturbed.
            most_kills: kill points per step, spread evenly; all by default.
        """
        last = max(list(STEPS).index(step) for step in steps)
        for step in list(STEPS)[: last + 1]:
            before = self._states / step
            if self.workspace.exists():
                shutil.copytree(self.workspace, before)
            self._command(step)
            calls = int(self._count.read_text())
            if step in steps:
                expected = canonical(self.workspace)
                outcome = Outcome(step, calls)
                for number in _spread(calls, most_kills):
                    self._put_back(before)
                    self._command(step, kill_at=number)
                    self._command(step)
                    outcome.kills += 1
                    if found := differences(expected, canonical(self.workspace)):
                        outcome.other[number] = found
                yield outcome
                self._put_back(before)
                self._command(step)
            shutil.rmtree(before, ignore_errors=True)

    def _put_back(self, before: Path) -> None:
        shutil.rmtree(self.workspace, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, self.workspace)

    def _command(self, step: str, *, kill_at: int = 0) -> None:
        arguments = [self._places.get(part, part) for part in STEPS[step]]
        command = [sys.executable, str(_CHILD), str(self.workspace), str(kill_at), str(self._count), *arguments]
        environment = {**os.environ, "LLACTR_WORKSPACE": str(self.workspace), "OMP_WAIT_POLICY": "PASSIVE"}
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        wanted = (0, -signal.SIGKILL) if kill_at else (0,)
        assert ran.returncode in wanted, f"{step}, killed at {kill_at}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a table."""
    lines = ["| step | calls that change files | kills | second run differs |", "|---|---|---|---|"]
    lines += [f"| {one.step} | {one.calls} | {one.kills} | {len(one.other)} |" for one in outcomes]
    kills, other = sum(one.kills for one in outcomes), sum(len(one.other) for one in outcomes)
    return "\n".join([*lines, f"| all | {sum(one.calls for one in outcomes)} | {kills} | {other} |"])


def _sources(folder: Path) -> dict[str, str]:
    """The small dataset; the same with other stars, and a folder with late rows."""
    places = {}
    for name in ("first", "other", "more"):
        (folder / name).mkdir(parents=True)
        places[name] = write_dataset(folder / name)
    events = folder / "other" / "events.csv"
    head, *rows = events.read_text(encoding="utf-8").splitlines()
    changed = [f"{row[:-1]}{6 - int(row[-1])}" if number % 7 == 0 else row for number, row in enumerate(rows)]
    events.write_text("\n".join([head, *changed]) + "\n", encoding="utf-8")
    late = [row.replace(row.split(",")[3], str(int(row.split(",")[3]) + 2_000_000)) for row in rows[:40]]
    (folder / "more" / "events.csv").write_text("\n".join([head, *late]) + "\n", encoding="utf-8")
    people = (folder / "more" / "people.csv").read_text(encoding="utf-8").splitlines()
    (folder / "more" / "people.csv").write_text(f"{people[0]}\np99,cook,33\n", encoding="utf-8")
    (folder / "more" / "dishes.csv").unlink()
    (folder / "later").mkdir()
    later = [row.replace(row.split(",")[3], str(int(row.split(",")[3]) + 4_000_000)) for row in rows[:40]]
    (folder / "later" / "events.csv").write_text("\n".join([head, *later]) + "\n", encoding="utf-8")
    config, day = folder / "config.yaml", folder / "day.yaml"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    gates = {"auc": -1, "logloss": 1, "calibration": 1, "min_positives": 1}
    day.write_text(yaml.safe_dump(CONFIG | {"promote": gates}), encoding="utf-8")
    return {
        "SPEC": str(places["first"]),
        "OTHER": str(places["other"]),
        "MORE": str(folder / "more"),
        "LATER": str(folder / "later"),
        "DAY": str(day),
        "CONFIG": str(config),
    }


def _spread(calls: int, most: int | None) -> list[int]:
    if most is None or calls <= most:
        return list(range(1, calls + 1))
    return sorted({1 + round(number * (calls - 1) / (most - 1)) for number in range(most)})
