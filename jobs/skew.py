"""`llactr skew`: compares what the service logged with what the offline store says it should have read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from llactr.diagnostics.skew.measure import measure_skew
from llactr.steps import Job

__all__ = ["describe", "run"]


def run(
    job: Job,
    dataset: str,
    *,
    since: datetime | None = None,
    limit: int = 1_000_000,
    share: float = 1.0,
    feast_config: Path | None = None,
) -> dict[str, Any]:
    """Four figures by field and by kind of past, and differences of scores; see `llactr.diagnostics.skew.measure`."""
    return measure_skew(job.workspace, dataset, since=since, limit=limit, share=share, feast_config=feast_config)


def describe(found: dict[str, Any]) -> str:
    """The result as a small table."""
    of = "" if found["share"] >= 1 else f", of {found['share']:.1%} of the users"
    lines = [f"{found['rows']:,} logged rows of {found['requests']:,} requests{of}, {found['from']} to {found['to']}"]
    for name, entry in sorted(found["fields"].items(), key=lambda pair: -pair[1]["rate"]):
        lines += _figures(name, entry)
    for owner, entry in (found["histories"] or {}).items():
        lines += _figures(f"past of {owner}s", entry)
        events = entry.get("events")
        if events is not None and (events["missing"] or events["extra"]):
            lines.append(
                f"    events of users' pasts: {events['missing']:,} are offline alone, {events['extra']:,} were served "
                "and are not in the dataset"
            )
        if events is not None and events["extra"]:
            lines.append("    events that services have logged come into the dataset with 'llactr push'")
    for entry in found["scores"]:
        if entry["rows_with_other_ids"] is None:
            lines.append(f"bundle {entry['bundle']} is gone: its scores were not compared")
        else:
            lines.append(
                f"bundle {entry['bundle']}: {entry['rows_with_other_ids']:,} of {entry['rows']:,} rows have other ids, "
                f"scores differ by {entry['mean_difference']:.2e} on average, {entry['max_difference']:.2e} at most"
            )
    lines.append("no skew" if found["holds"] else "the service and the offline store disagree")
    return "\n".join(lines)


def _figures(name: str, entry: dict[str, Any]) -> list[str]:
    """A line with the counts, one of lists, and examples."""
    counts = f"{entry['different']:,} different, {entry['missing']:,} missing, {entry['extra']:,} extra"
    lines = [f"{name:<24} {entry['equal']:>9,} of {entry['compared']:,} equal, {counts} ({entry['rate']:.3%} differ)"]
    if entry["mismatches"] and "length" in entry:
        length, edits = entry["length"], entry["edit_distance"]
        lines.append(
            f"    lists: {length['served']:.2f} long, offline {length['offline']:.2f}; edit distance "
            f"{edits['mean']:.3f} on average, {edits['max']} at most"
        )
    for example in entry["examples"]:
        lines.append(f"    {example['key']}: served {example['served']!r}, offline {example['offline']!r}")
    return lines
