"""`llactr run`: all steps, from the data to the report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jobs import diagnose, encode, evaluate, finetune, ingest, materialize, predict, train
from jobs.config import RunConfig
from jobs.step import Job

__all__ = ["CHECKED_ROWS", "describe", "run"]

CHECKED_ROWS = 1000


def run(job: Job, spec: str, config: RunConfig, *, data_folder: Path | None = None) -> dict[str, Any]:
    """Ingest, finetune, encode, apply, materialize, train, evaluate, check online against offline, diagnose.

    Raises:
        ConsistencyError: online and offline disagree.
    """
    started = time.perf_counter()
    outcomes = [ingest.run(job, spec, data_folder=data_folder)]
    dataset: str = outcomes[0].result["dataset"]
    if config.semantics.tune:
        outcomes.append(finetune.run(job, dataset, config.semantics))
    outcomes.append(encode.run(job, dataset, config.semantics, untuned=False, effective_from="start"))
    outcomes += [materialize.apply(job), materialize.materialize(job)]
    trained = train.run(job, dataset, config.train)
    evaluated = evaluate.run(job, dataset, config.evaluate, semantics=config.values)
    checked = predict.check(job, dataset, bundle=str(trained.folder), rows=CHECKED_ROWS)
    report = diagnose.run(job, dataset, device="auto")
    outcomes += [trained, evaluated, checked, report]
    return {
        "dataset": dataset,
        "seconds": round(time.perf_counter() - started, 1),
        "bundle": str(trained.folder),
        "report": report.result["report"],
        "comparison": evaluate.describe(evaluated, slices=False),
        "check": predict.describe_check(checked),
        "steps": [outcome.as_json() for outcome in outcomes],
    }


def describe(summary: dict[str, Any]) -> str:
    """What a person wants to know at the end."""
    return (
        f"\n{summary['comparison']}\n\n{summary['check']}\n"
        f"bundle  {summary['bundle']}\nreport  {summary['report']}\n"
        f"{summary['seconds']:.0f} s in all"
    )
