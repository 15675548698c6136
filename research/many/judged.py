"""Trains the runs of several configurations, then reads the test rows once with all of them, as an evaluation would."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from llactr.evaluation.comparison import Comparison, compare
from llactr.evaluation.evidence import Run
from llactr.evaluation.rows import median_past
from llactr.evaluation.runs import EvaluationRuns
from llactr.evaluation.trained import TrainedRun
from llactr.steps import Job, Step
from research.many.chosen import chosen, told

__all__ = ["judged"]

METRICS = ("auc", "user_auc", "logloss")
SLICES = ("all", "unseen items", "unseen users", "warm")


def judged(job: Job, name: str, runs: Sequence[EvaluationRuns], *, earlier: Sequence[str]) -> dict[str, Any]:
    """The reading, and each backbone's arms, baselines and differences; rivals stand beside every backbone.

    Args:
        job: where.
        name: of the data set.
        runs: each of one backbone, with other settings or arms than the rest; all have the same seeds.
        earlier: when the test rows were read before.
    """
    before = time.process_time()
    spec = runs[0].draws.spec
    with job.terminal.step(Step.EVALUATE) as advance:
        for one in runs:
            one.train_all(advance)
        choices = {one.config.backbones[0]: told(chosen(job, one.config.backbones[0], runs)) for one in runs}
        trained = time.process_time()
        read_at = datetime.now(UTC).isoformat(timespec="seconds")
        tested: dict[str, list[Run]] = {}
        rivals: list[Run] = []
        for one in runs:
            for backbone, some in one.test_all(advance).items():
                tested.setdefault(backbone, []).extend(run for run in some if run.arm.rival is None)
                rivals += [run for run in some if run.arm.rival is not None]
        comparisons = [
            compare(backbone, [*some, *rivals], baselines=runs[0].baselines) for backbone, some in tested.items()
        ]
        advance(1, 1, name)
    validated = [one for some in runs for one in some.trained]
    first = runs[0]
    return {
        "reading": {
            "rows": first.test_rows, "users": first.test_users, "seeds": first.config.seeds,
            "splits": {part: list(counts) for part, counts in first.splits.items()}, "read_at": read_at,
            "models_before": len(validated), "earlier_readings": list(earlier),
        },
        "cpu_s": {"train": round(trained - before, 1), "test": round(time.process_time() - trained, 1)},
        "past": median_past(job.workspace, spec),
        "backbones": [_told(one, validated) | {"chosen": choices[one.backbone]} for one in comparisons],
    }  # fmt: skip


def _told(comparison: Comparison, validated: Sequence[TrainedRun]) -> dict[str, Any]:
    found = {
        "backbone": comparison.backbone,
        "baselines": [{"name": one.name, **one.metrics["all"]} for one in comparison.baselines],
        "arms": list(_arms(comparison, validated)),
        "differences": [
            {
                "arm": str(one.arm), "baseline": str(one.baseline), "slice": one.slice, "metric": one.metric,
                "mean": one.mean, "over_seeds": one.over_seeds, "over_rows": one.over_rows, "by_seed": one.by_seed,
            }
            for one in comparison.differences
            if one.slice in SLICES and one.metric in METRICS
        ],
    }  # fmt: skip
    told: dict[str, Any] = json.loads(json.dumps(found))
    return told


def _arms(comparison: Comparison, validated: Sequence[TrainedRun]) -> Iterator[dict[str, Any]]:
    for runs in comparison.arms:
        mine = [
            one.auc
            for one in validated
            if one.arm == runs.arm and (runs.arm.rival is not None or one.backbone == comparison.backbone)
        ]
        known = [auc for auc in mine if auc is not None]
        yield {
            "arm": str(runs.arm), "role": runs.arm.role,
            **{metric: runs.mean(metric) for metric in runs.runs[0].metrics["all"]},
            "train_s": runs.train_s, "rows_per_s": runs.rows_per_s,
            "validation_auc": math.fsum(known) / len(known) if known else None,
        }  # fmt: skip
