"""`llactr list`, `show`, `compare`, `rm`: what the workspace holds."""

from __future__ import annotations

import json
from collections.abc import Sequence

from llactr.jobs.gc import size_text
from llactr.lifecycle.inventory import Difference, Held, Shown, compare_artifacts, list_artifacts, remove, show_artifact
from llactr.steps import Job

__all__ = [
    "compare",
    "describe_differences",
    "describe_list",
    "describe_removed",
    "describe_shown",
    "held",
    "rm",
    "show",
]


def held(job: Job, *, kind: str | None, dataset: str | None) -> tuple[Held, ...]:
    """Datasets and artifacts, with sizes and who needs whom."""
    return list_artifacts(job.workspace, kind=kind, dataset=dataset)


def show(job: Job, name: str) -> Shown:
    """One artifact with all that its manifest says."""
    return show_artifact(job.workspace, name)


def compare(job: Job, names: Sequence[str]) -> tuple[Difference, ...]:
    """What differs between artifacts of one kind."""
    return compare_artifacts(job.workspace, names)


def rm(job: Job, names: Sequence[str], *, force: bool) -> tuple[Held, ...]:
    """Removes artifacts, or a dataset with all that was made of it."""
    return remove(job.workspace, names, force=force)


def describe_list(found: Sequence[Held]) -> str:
    """One line each: size, when, name, and why it is kept or who needs it."""
    lines = []
    for one in found:
        needed = f"needed by {', '.join(one.needed_by[:2])}" if one.needed_by else ""
        more = f" and {len(one.needed_by) - 2} more" if len(one.needed_by) > 2 else ""
        lines.append(
            f"{size_text(one.bytes):>9}  {one.made:%Y-%m-%d %H:%M}  {one.what}  {one.kept or needed + more}".rstrip()
        )
    return "\n".join([*lines, f"{size_text(sum(one.bytes for one in found)):>9}  in all, {len(found)}"])


def describe_shown(one: Shown) -> str:
    """Its line, its needs, and its manifest."""
    lines = [describe_list([one]).splitlines()[0]]
    lines += [f"  needs      {name}" for name in one.needs] + [f"  needed by  {name}" for name in one.needed_by]
    lines += [f"  lies in    {place}" for place in one.places]
    return "\n".join([*lines, json.dumps(one.facts, indent=1, ensure_ascii=False, default=str)])


def describe_differences(found: Sequence[Difference]) -> str:
    """One line a setting or figure that differs."""
    if not found:
        return "nothing differs"
    width = max(len(one.name) for one in found)
    return "\n".join(f"{one.name:<{width}}  " + "  |  ".join(map(_short, one.values)) for one in found)


def describe_removed(found: Sequence[Held]) -> str:
    """What went, and what to do after a dataset."""
    lines = [f"{size_text(one.bytes):>9}  {one.what} removed" for one in found]
    if any(one.what.startswith("datasets/") for one in found):
        lines.append("run 'llactr apply' and 'llactr materialize': the store still knows the dataset")
    return "\n".join(lines)


def _short(value: object) -> str:
    text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
