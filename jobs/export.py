"""`llactr export`: a bundle for other programs, checked against it."""

from __future__ import annotations

from pathlib import Path

from llactr.ctr.exporting import ExportedBundle, export_bundle
from llactr.pieces import ALONE, Workers
from llactr.steps import Job

__all__ = ["describe", "run"]


def run(
    job: Job,
    dataset: str,
    bundle: str | None,
    *,
    to: str,
    out: Path,
    buckets: int | None = None,
    workers: Workers = ALONE,
) -> ExportedBundle:
    """Writes a bundle in a format of `llactr.ctr.exports` into a folder."""
    return export_bundle(job.workspace, dataset, bundle, to=to, out=out, buckets=buckets, workers=workers)


def describe(made: ExportedBundle) -> str:
    """What was written, in a sentence."""
    return made.sentence
