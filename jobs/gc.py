"""`llactr gc`: removes what nothing live, nothing pinned and no rule of retention needs."""

from __future__ import annotations

from typing import Any

from llactr.lifecycle.garbage import Garbage, Plan, collect, plan_garbage
from llactr.steps import Job

__all__ = ["describe", "plan", "run", "size_text"]

_UNITS = ("B", "kB", "MB", "GB", "TB")


def plan(job: Job, *, keep: int) -> dict[str, Any]:
    """What would go, and what would stay; nothing is removed."""
    return _as_json(plan_garbage(job.workspace, keep=keep), {}, dry_run=True)


def run(job: Job, *, keep: int) -> dict[str, Any]:
    """Removes it."""
    with job.terminal.step("gc") as advance:
        done, rows = collect(job.workspace, keep=keep)
        advance(1, 1, f"{len(done.removed)} artifacts")
    return _as_json(done, rows, dry_run=False)


def describe(found: dict[str, Any]) -> str:
    """What goes, with sizes and reasons, and what stays."""
    verb = "would be removed" if found["dry_run"] else "removed"
    lines = [f"{size_text(one['bytes']):>9}  {one['what']}: {one['reason']}" for one in found["removed"]]
    lines += [f"{'':>9}  {path}: left by a process that died" for path in found["drafts"]]
    lines += [
        f"{'':>9}  {count:,} rows of {view} online: of versions without files" for view, count in found["rows"].items()
    ]
    lines += [f"{size_text(found['freed_bytes']):>9}  {verb}, in {len(found['removed'])} artifacts"]
    lines += ["stays:"] if found["kept"] else []
    return "\n".join(lines + [f"{size_text(one['bytes']):>9}  {one['what']}: {one['reason']}" for one in found["kept"]])


def _as_json(found: Plan, rows: dict[str, int], *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "freed_bytes": found.freed_bytes,
        "removed": [_entry(one) for one in found.removed],
        "kept": [_entry(one) for one in found.kept],
        "drafts": [str(path) for path in found.drafts],
        "rows": rows,
    }


def _entry(one: Garbage) -> dict[str, Any]:
    return one.model_dump(mode="json")


def size_text(count: float) -> str:
    """A number of bytes for people."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.0f} {_UNITS[-1]}"
