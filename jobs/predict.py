"""`llactr predict`: scores rows with features and vectors from the online store, and checks that against offline."""

from __future__ import annotations

import pyarrow as pa

from llactr.ctr.scoring import RowScorer, ScoredRows
from llactr.datasets.rows import read_rows
from llactr.diagnostics.agreement import CheckSummary, check_online
from llactr.steps import Job, StepOutcome

__all__ = ["check", "describe", "describe_check", "read_rows", "run"]


def run(job: Job, dataset: str, *, bundle: str | None, rows: pa.Table) -> ScoredRows:
    """Scores rows: features and field vectors from the online store, weights and vocabularies from the bundle."""
    return RowScorer.online(job.workspace, dataset, bundle).score(rows)


def check(job: Job, dataset: str, *, bundle: str | None, rows: int) -> StepOutcome[CheckSummary]:
    """Scores test rows twice, through the online store and on the offline path, and compares ids and scores.

    Raises:
        ConsistencyError: an id differs, or a score by more than the tolerance.
    """
    return check_online(job, dataset, bundle=bundle, rows=rows)


def describe(scored: ScoredRows) -> str:
    """One score a line."""
    return "\n".join(f"{score:.6f}" for score in scored.scores)


def describe_check(outcome: StepOutcome[CheckSummary]) -> str:
    """The outcome in a sentence."""
    return outcome.result.sentence
