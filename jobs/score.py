"""`llactr score`: scores rows of a file, a query or the command line, with features of the online or offline store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llactr.ctr.batch_scoring import RequestTimes, ScoredFile, open_scorer, score_file, score_table
from llactr.ctr.scoring import ScoredRows
from llactr.datasets.row_batches import RowSource
from llactr.datasets.rows import read_rows
from llactr.objects import local_source, place_of, publishing
from llactr.pieces import ALONE, Workers
from llactr.steps import Job
from llactr.store.ingested import dataset_spec

__all__ = ["describe", "into_file", "rows"]


def rows(
    job: Job,
    dataset: str,
    *,
    bundle: str | None,
    given: Sequence[str],
    file: Path | None,
    sql: str | None,
    at: str | None,
) -> ScoredRows:
    """Scores of rows that fit in memory: JSON objects, a file, or a query."""
    times, spec = RequestTimes(at), dataset_spec(job.workspace, dataset)
    with local_source(file) as local:
        table = RowSource(spec, local, sql).table() if sql is not None or not given else read_rows(spec, given, local)
    return score_table(open_scorer(job.workspace, dataset, bundle, times), table, times)


def into_file(
    job: Job,
    dataset: str,
    out: Path,
    *,
    bundle: str | None,
    file: Path | None,
    sql: str | None,
    at: str | None,
    keep: Sequence[str],
    workers: Workers = ALONE,
) -> ScoredFile:
    """Scores a file or a query, whatever its size, into a Parquet file."""
    times, spec = RequestTimes(at), dataset_spec(job.workspace, dataset)
    with local_source(file) as local, publishing(out) as target:
        source = RowSource(spec, local, sql)
        scorer = open_scorer(job.workspace, dataset, bundle, times)
        with job.terminal.step("score") as advance:
            made = score_file(scorer, source, target, times=times, keep=keep, workers=workers, progress=advance)
    return made.model_copy(update={"out": place_of(out) or made.out})


def describe(scored: ScoredRows | ScoredFile) -> str:
    """One score a line, or what went into the file."""
    if isinstance(scored, ScoredFile):
        return scored.sentence
    return "\n".join(f"{score:.6f}" for score in scored.scores)
