"""CPU time of a process and of all that it started: Spark works in a Java process and in Python workers of that."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cpu_seconds_of_all"]

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_all() -> float:
    """User and system CPU of this process, of those below it, and of those below it that have ended, in seconds."""
    of: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has just ended
            continue
        numbers = text.rpartition(")")[2].split()  # what follows the name: state, parent, ...
        of[int(entry.name)] = int(numbers[1]), sum(int(ticks) for ticks in numbers[11:15])
    below = {os.getpid()}
    while True:
        found = {process for process, (parent, _) in of.items() if parent in below} - below
        if not found:
            return sum(of[process][1] for process in below) / _TICKS
        below |= found
