"""`llactr doctor`: what is wrong, stale or short in a workspace, and what to do about it."""

from __future__ import annotations

from llactr.lifecycle.doctor import Diagnosis, examine
from llactr.steps import Job

__all__ = ["describe", "run"]

_MARKS = {"well": "well ", "look": "look ", "wrong": "WRONG"}


def run(job: Job) -> Diagnosis:
    """Looks at the workspace; nothing is changed.

    Raises:
        NotReadyError: there is no workspace.
    """
    return examine(job.workspace)


def describe(found: Diagnosis) -> str:
    """A line for each thing that was looked at, what to do below it."""
    lines = []
    for one in found.findings:
        of = f"{one.area} of {one.dataset}" if one.dataset else one.area
        lines.append(f"{_MARKS[one.state]}  {of}: {one.said}")
        if one.do:
            lines.append(f"       -> {one.do}")
    return "\n".join(lines)
