"""What MLflow is told of a step: names, parameters, metrics and texts. Nothing here knows MLflow."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llactr.ctr.search.tune import TuneSummary
from llactr.ctr.training.fit import TrainSummary
from llactr.evaluation.choice import Choice
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.evidence import ALL_ROWS, METRICS, Difference, Interval
from llactr.evaluation.result import EvaluationResult
from llactr.evaluation.tables import as_tables, choice_table
from llactr.manifest import read_manifest
from llactr.steps import StepOutcome

__all__ = ["Metric", "TrackedRun", "run_of"]


@dataclass(frozen=True)
class Metric:
    """A number, at a step of a curve (0 for one that is no curve)."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class TrackedRun:
    """One run of MLflow.

    Attributes:
        name: the artifact's folder, or an arm's name.
        key: the artifact's; empty for an arm, which belongs to its evaluation.
        texts: file name -> text, kept as files of the run.
        bundle: the folder that becomes the run's model; None for none.
        arms: runs below this one.
    """

    name: str
    key: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    bundle: Path | None = None
    arms: tuple[TrackedRun, ...] = ()


def run_of(dataset: str, outcome: StepOutcome[Any]) -> TrackedRun | None:
    """What is told of a step's outcome; None for steps whose result is no figure."""
    made = outcome.result
    if isinstance(made, TrainSummary):
        parts = _trained(made, outcome.folder)
    elif isinstance(made, EvaluationResult):
        parts = _evaluated(made)
    elif isinstance(made, TuneSummary):
        parts = _tuned(made)
    elif isinstance(made, Choice):
        parts = _chosen(made)
    else:
        return None
    manifest = read_manifest(outcome.folder) or {}
    tags = {"llactr.step": outcome.step.value, "llactr.key": outcome.key, "llactr.dataset": dataset}
    metrics = [*parts.pop("metrics", ()), *_numbers({"cpu_seconds": outcome.cpu_seconds, "seconds": outcome.seconds})]
    return TrackedRun(
        name=outcome.folder.name,
        key=outcome.key,
        tags=tags | parts.pop("tags", {}),
        params=dict(_flat(manifest.get("config", {}))) | parts.pop("params", {}),
        metrics=tuple(metrics),
        **parts,
    )


def _trained(made: TrainSummary, folder: Path) -> dict[str, Any]:
    measured = made.metrics
    tags = {
        "llactr.bundle": folder.name,
        "llactr.semantics_version": made.semantics_version,
        "llactr.values_version": made.values_version or "",
        "llactr.history_version": made.history_version or "",
        "llactr.doubts": "; ".join(made.doubts),
    }
    numbers = {f"test_{name}": value for name, value in measured.test.model_dump().items()}
    numbers |= {f"validation_{name}": value for name, value in measured.validation.model_dump().items()}
    numbers |= {"epochs": measured.epochs, "best_epoch": measured.best_epoch}
    curve = [
        one
        for record in made.curve
        for one in _numbers(
            {
                "curve.train_loss": record.train_loss,
                "curve.validation_auc": record.validation_auc,
                "curve.validation_logloss": record.validation_logloss,
            },
            step=record.epoch,
        )
    ]
    return {
        "tags": {name: value for name, value in tags.items() if value},
        "params": {"backbone": str(made.backbone), "arm": made.arm},
        "metrics": [*_numbers(numbers), *curve],
        "bundle": folder,
    }


def _evaluated(made: EvaluationResult) -> dict[str, Any]:
    reading = made.test_reading
    tags = {"llactr.design": reading.design, "llactr.test_reading": reading.sentence}
    metrics: list[Metric] = []
    for comparison in made.comparisons:
        for said in comparison.judgements:
            tags[f"llactr.verdict.{_name(comparison.backbone, said.arm)}"] = said.verdict.value
            tags[f"llactr.sentence.{_name(comparison.backbone, said.arm)}"] = said.sentence
        for found in comparison.differences:
            if found.slice == ALL_ROWS:
                metrics += _difference(comparison.backbone, found)
    kept = {name: part for name, part in made.as_json().items() if name != "curves"}
    return {
        "tags": tags,
        "metrics": metrics,
        "texts": {"evaluation.txt": as_tables(made), "evaluation.json": json.dumps(kept, indent=1)},
        "arms": tuple(one for comparison in made.comparisons for one in _arms(comparison)),
    }


def _difference(backbone: str, found: Difference) -> Iterator[Metric]:
    """A difference and the ends of its intervals, as metrics that lie beside each other in a list."""
    name = f"{_name(backbone, found.arm)}-over-{_name(found.baseline)}.{found.metric}"
    yield from _numbers({name: found.mean})
    for over, ends in (("seeds", found.over_seeds), ("draws", found.over_draws), (found.drawn, found.over_rows)):
        yield from _numbers(_ends(f"{name}.{over}", ends))


def _ends(name: str, ends: Interval | None) -> dict[str, float]:
    return {} if ends is None else {f"{name}_low": ends[0], f"{name}_high": ends[1]}


def _arms(comparison: Comparison) -> Iterator[TrackedRun]:
    """Every arm's own figures: means over draws and seeds, and each run's AUC at the step of its place."""
    for runs in comparison.arms:
        numbers = {f"test_{metric}": runs.mean(metric) for metric in METRICS}
        numbers |= {"train_cpu_seconds": runs.train_s, "rows_per_cpu_second": runs.rows_per_s}
        each = [
            one
            for place, run in enumerate(runs.runs)
            for one in _numbers({"run.test_auc": run.value("auc")}, step=place)
        ]
        yield TrackedRun(
            name=f"{comparison.backbone} {runs.arm}",
            tags={"llactr.step": "arm"},
            params={"backbone": comparison.backbone, "arm": str(runs.arm)},
            metrics=(*_numbers(numbers), *each),
        )


def _tuned(made: TuneSummary) -> dict[str, Any]:
    trials = [
        one
        for trial in made.trials
        for one in _numbers({"trial.validation_auc": trial.auc, "trial.validation_logloss": trial.logloss},
                            step=trial.number)
    ]  # fmt: skip
    best = _numbers({"validation_auc": made.best.auc, "validation_logloss": made.best.logloss})
    return {
        "params": {f"best.{name}": str(value) for name, value in made.best.values.items()},
        "metrics": [*best, *trials],
    }


def _chosen(made: Choice) -> dict[str, Any]:
    numbers: dict[str, float | None] = {}
    for one in made.candidates:
        name = _name(one.arm)
        numbers |= {f"{name}.validation_auc": one.auc, f"{name}.validation_logloss": one.logloss}
        numbers[f"{name}.validation_user_auc"] = one.user_auc
    return {
        "tags": {"llactr.served": str(made.served), "llactr.rule": made.rule, "llactr.reason": made.reason},
        "metrics": list(_numbers(numbers)),
        "texts": {"choice.txt": choice_table(made)},
    }


def _name(*parts: object) -> str:
    """Parts of a metric's name: MLflow takes letters, digits and `_ - . : /`."""
    return ".".join(re.sub(r"[^\w.:/-]", "_", str(part)) for part in parts)


def _numbers(values: Mapping[str, float | None], *, step: int = 0) -> list[Metric]:
    """Those that are there and finite."""
    return [
        Metric(name, float(value), step) for name, value in values.items() if value is not None and math.isfinite(value)
    ]


def _flat(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as `training.batch_size`: `4096`."""
    if isinstance(content, dict):
        for key, part in content.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    elif name:
        yield _name(name), str(content)
