"""`llactr skew`: compares what the service logged with what the offline store says it should have read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from llactr.diagnostics.skew import measure_skew
from llactr.steps import Job

__all__ = ["describe", "run"]


def run(
    job: Job, dataset: str, *, since: datetime | None = None, limit: int = 1_000_000, feast_config: Path | None = None
) -> dict[str, Any]:
    """Mismatch rates by field, and differences of scores; see `llactr.diagnostics.skew`."""
    return measure_skew(job.workspace, dataset, since=since, limit=limit, feast_config=feast_config)


def describe(found: dict[str, Any]) -> str:
    """The result as a small table."""
    lines = [f"{found['rows']:,} logged rows of {found['requests']:,} requests, {found['from']} to {found['to']}"]
    for name, entry in sorted(found["fields"].items(), key=lambda pair: -pair[1]["rate"]):
        lines.append(f"{name:<24} {entry['mismatches']:>9,} of {entry['compared']:,} differ ({entry['rate']:.3%})")
        for example in entry["examples"]:
            lines.append(f"    {example['key']}: served {example['served']!r}, offline {example['offline']!r}")
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
