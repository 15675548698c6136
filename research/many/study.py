"""One data set through the product's own steps: ingest, tune and encode the fields, join, train all arms, read test once."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llactr.ctr import TrainingSet, train
from llactr.ctr.training.build import build_model, train_config
from llactr.ctr.training.join import join
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.result import EvaluationResult
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.search import kept_facts
from llactr.evaluation.step import evaluate
from llactr.jobs import encode, encode_values, finetune, ingest, materialize, tune_values
from llactr.jobs.cli.console import Terminal
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.semantics.tuning.likes import can_tune
from llactr.spec import DatasetSpec
from llactr.steps import Job
from llactr.workspace import Workspace
from research.datasets.tables import SPECS, prepared, spec_of

__all__ = ["Plan", "arms_of", "run_set"]

FIELDS = ("paper", "paper permuted", "paper random", "fre", "fre permuted", "fie", "fie permuted")
UNTUNED = ("values untuned", "values untuned permuted", "values words")
TUNED = ("values", "values permuted")
METRICS = ("auc", "user_auc", "logloss")
SLICES = ("all", "unseen items", "unseen users", "warm")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is run of every set."""

    data: Path
    cache: Path
    backbones: tuple[str, ...] = ("fm",)
    seeds: int = 1
    rivals: tuple[str, ...] = tuple(RIVALS)
    bootstrap: int = 200
    tuned: bool = False
    decays: tuple[float, ...] = (0.0, 1e-5, 1e-4, 1e-3)


def arms_of(spec: DatasetSpec, rivals: Sequence[str], *, tuned: bool = False) -> tuple[Arm, ...]:
    """The arms that a set has the columns for; with value vectors tuned on likes only when asked, which cost most."""
    names = [*FIELDS]
    if spec.text_fields:
        names += UNTUNED
    if tuned and can_tune(spec):
        names += TUNED
    return (PLAIN, *map(Arm.parse, (*names, *rivals)))


def run_set(name: str, plan: Plan) -> dict[str, Any]:
    """All arms of a set, and what came out; what was done before is not done again."""
    folder = prepared(name, plan.data, plan.cache / "tables")
    job = Job(Workspace.at(plan.cache / "workspaces" / name), Terminal(as_json=False))
    semantics = SemanticsConfig()
    steps: list[Any] = [
        ingest.run(job, str(SPECS / f"{name}.yaml"), data_folder=folder),
        finetune.run(job, name, semantics),
        encode.run(job, name, semantics, untuned=False, effective_from="start"),
        materialize.apply(job),
    ]
    spec = spec_of(name)
    if plan.tuned and can_tune(spec):  # `values` are what was encoded last
        values = ValueSemanticsConfig()
        steps += [tune_values.run(job, name, values), encode_values.run(job, name, values)]
    joined, training_set = join(job, name)
    tried = {backbone: list(_searched(backbone, training_set, plan)) for backbone in plan.backbones}
    decay = {backbone: max(some, key=lambda one: one["auc"])["weight_decay"] for backbone, some in tried.items()}
    config = EvaluateConfig.model_validate(
        {
            "backbones": plan.backbones, "arms": arms_of(spec, plan.rivals, tuned=plan.tuned), "seeds": plan.seeds,
            "bootstrap": plan.bootstrap, "training": {one: {"weight_decay": decay[one]} for one in plan.backbones},
        }
    )  # fmt: skip
    outcome = evaluate(job, name, config, ValueSemanticsConfig())
    steps += [joined, outcome]
    return {
        "set": name,
        "reading": outcome.result.test_reading.model_dump(mode="json"),
        "cpu_s": {step.step.value: round(step.cpu_seconds, 1) for step in steps},
        "tried": tried,
        "backbones": list(_backbones(outcome.result)),
        "searches": [_search(job, name, rival) for rival in plan.rivals],
    }


def _searched(backbone: str, training_set: TrainingSet, plan: Plan) -> Iterator[dict[str, float]]:
    """Plain models of one seed with each weight decay, on validation; rivals are searched too."""
    for decay in plan.decays:
        model, data = build_model(training_set, backbone, enhancement=None, settings={}, seed=0)
        found = train(model, data, train_config(backbone, 0, {"weight_decay": decay}))
        assert found.validation.auc is not None
        assert found.validation.logloss is not None
        yield {
            "weight_decay": decay, "auc": found.validation.auc, "logloss": found.validation.logloss,
            "cpu_s": round(found.cpu_seconds, 2),
        }  # fmt: skip


def _backbones(result: EvaluationResult) -> Iterator[dict[str, Any]]:
    for comparison in result.comparisons:
        mine = [run for run in result.validation if run.backbone == comparison.backbone]
        arms = []
        for runs in comparison.arms:
            validated = [run.auc for run in mine if run.arm == runs.arm and run.auc is not None]
            found = {metric: runs.mean(metric) for metric in runs.runs[0].metrics["all"]}
            arms.append(
                {
                    "arm": str(runs.arm), "role": runs.arm.role, **found, "train_s": runs.train_s,
                    "rows_per_s": runs.rows_per_s,
                    "validation_auc": math.fsum(validated) / len(validated) if validated else None,
                }
            )  # fmt: skip
        differences = [
            {
                "arm": str(one.arm), "baseline": str(one.baseline), "slice": one.slice, "metric": one.metric,
                "mean": one.mean, "over_seeds": one.over_seeds, "over_rows": one.over_rows, "by_seed": one.by_seed,
            }
            for one in comparison.differences
            if one.slice in SLICES and one.metric in METRICS
        ]  # fmt: skip
        baselines = [{"name": one.name, **one.metrics["all"]} for one in comparison.baselines]
        found = {"backbone": comparison.backbone, "baselines": baselines, "arms": arms, "differences": differences}
        yield json.loads(json.dumps(found))


def _search(job: Job, name: str, rival: str) -> dict[str, Any]:
    """What a rival's search with the first seed tried."""
    found = job.workspace.root.glob(f"evaluation_runs/{name}-*/0-{rival}-0-*.safetensors")
    return kept_facts(max(found, key=lambda path: path.stat().st_mtime)).model_dump(mode="json")
