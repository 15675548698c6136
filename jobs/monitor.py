"""`llactr monitor`: compares what came in with what a bundle was trained on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from llactr.atomic import write_text
from llactr.ctr.find import find_bundle
from llactr.lifecycle.monitoring.page import page
from llactr.lifecycle.monitoring.prometheus import exposition
from llactr.lifecycle.monitoring.shadowed import Shadowed
from llactr.lifecycle.monitoring.watch import Monitoring, monitor
from llactr.steps import Job

__all__ = ["describe", "describe_beside", "run"]


def run(
    job: Job,
    dataset: str,
    *,
    bundle: str | None,
    source: Any,
    since: datetime | None,
    rows: int,
    windows: int,
    metrics: Path | None,
    html: Path | None = None,
) -> Monitoring:
    """Compares the newest windows with the profile of a bundle, the champion's by default.

    Writes the figures for Prometheus into the file `metrics`, and a page into the file `html`, where they are given.
    """
    folder = find_bundle(job.workspace, dataset, bundle)
    with job.terminal.step("monitor") as advance:
        found = monitor(job.workspace, folder, source=source, since=since, rows=rows, windows=windows)
        advance(1, 1, "quiet" if found.quiet else "alarms")
    if metrics is not None:
        write_text(metrics, exposition(found))
    if html is not None:
        write_text(html, page(found))
    return found


def describe(found: Monitoring) -> str:
    """Alarms, a line each; then what was looked at, and what bundles beside the answers were worth."""
    lines = []
    for one in found.windows:
        for alarm in one.alarms:
            lines.append(f"{one.first:%Y-%m-%d %H:%M} to {one.last:%Y-%m-%d %H:%M}  {alarm.sentence}")
    for table in found.freshness:
        if table.is_stale:
            lines.append(
                f"{table.table}: no new row for {table.age_s / 86400:.1f} days, since {table.newest:%Y-%m-%d %H:%M}"
            )
    rows = sum(one.rows for one in found.windows)
    looked = f"{len(found.windows)} windows of {found.source}, {rows:,} rows"
    looked += f", against {found.profile_rows:,} of {found.bundle}"
    looked += f": {'quiet' if found.quiet else f'{len(lines)} alarms'}"
    return "\n".join([*lines, looked, *map(describe_beside, found.shadows)])


def describe_beside(one: Shadowed) -> str:
    """What a bundle beside the answers was worth, in a line."""
    said = f"beside it {one.shadow}: {one.rows:,} rows with both scores, {one.with_outcome:,} with an outcome"
    said += f" ({one.clicks:,} clicks), its scores {one.mean_difference:+.4f} on average"
    if one.auc is None or one.shadow_auc is None or one.gain is None:
        return f"{said}; too few outcomes for an AUC"
    gain = f"{one.shadow_auc - one.auc:+.4f} [{one.gain[0]:+.4f}, {one.gain[1]:+.4f}]"
    said += f"; AUC {one.shadow_auc:.4f} against {one.auc:.4f} ({gain})"
    return f"{said}, logloss {one.shadow_logloss:.4f} against {one.logloss:.4f}"
