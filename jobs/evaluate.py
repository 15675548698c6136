"""`llactr evaluate`: any arms under a hold-out design; all models are trained before the test split is read, once."""

from __future__ import annotations

import glob
import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llactr.ctr.training.build import train_config
from llactr.ctr.training.join import join
from llactr.diagnostics import TestReading
from llactr.evaluation.arms import has_values, role
from llactr.evaluation.comparison import Comparison, compare
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.evidence import Difference, Interval
from llactr.evaluation.runs import EvaluationRuns
from llactr.manifest import MANIFEST, content_hash
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Advance, Job, StepOutcome, outcome_of
from llactr.store.ingested import dataset_spec

__all__ = ["describe", "run"]

_CURVE = ("backbone", "arm", "draw", "seed", "train_loss", "validation_auc", "best_epoch")
_VALIDATION = ("backbone", "arm", "draw", "seed", "auc", "logloss", "steps", "best_step", "cpu_seconds")


def run(
    job: Job,
    dataset: str,
    config: EvaluateConfig,
    *,
    semantics: ValueSemanticsConfig | None = None,
    results: Path | None = None,
) -> StepOutcome:
    """Trains every arm with every draw and seed, then compares them on the test split.

    Args:
        job: where.
        dataset: which; it needs a release of field vectors.
        config: what is compared.
        semantics: how value vectors are made; the defaults if it is None.
        results: a file that gets the result as JSON, with the command that made it.
    """
    spec = dataset_spec(job.workspace, dataset)
    semantics = semantics or ValueSemanticsConfig()
    training = {name: train_config(name, 0, config.training.get(name, {})) for name in config.backbones}
    joined, training_set = join(job, dataset)
    # Not in the name: what more of it leaves the models there are as they were.
    shared = config.model_dump(mode="json", exclude={"arms", "seeds", "draws", "backbones", "bootstrap"})
    folder = job.workspace.artifact("evaluation_runs", f"{dataset}-{content_hash([shared, joined.key])[:12]}")

    def work(_: Path, advance: Advance) -> dict[str, Any]:
        runs = EvaluationRuns(job, spec, config, semantics, training_set, folder)
        runs.train_all(advance)
        earlier = _earlier_readings(job, dataset)
        read_at = datetime.now(UTC).isoformat(timespec="seconds")
        found = runs.test_all(advance)
        comparisons = [compare(backbone, some) for backbone, some in found.items()]
        reading = TestReading(
            design=config.design,
            draws=config.draw_count,
            seeds=config.seeds,
            rows=runs.test_rows,
            slice_rows={name: tuple(counts) for name, counts in runs.slice_rows.items()},
            read_at=read_at,
            models_before=len(runs.facts),
            earlier_readings=earlier,
        )
        advance(1, 1, "; ".join(f"{one.backbone} {said.arm}: {said.verdict.value}" for one in comparisons[:1]
                                for said in one.judgements) or "done")  # fmt: skip
        return {
            "test_reading": reading.model_dump(mode="json"),
            "comparisons": [comparison.model_dump(mode="json") for comparison in comparisons],
            "seeds": list(range(config.seeds)),
            "validation": [{name: facts[name] for name in _VALIDATION} for facts in runs.facts],
            "curves": [{name: facts[name] for name in _CURVE} for facts in runs.facts],
        }

    resolved: dict[str, Any] = {"training": {name: one.model_dump(mode="json") for name, one in training.items()}}
    if any(has_values(arm) for arm in config.arms):
        resolved["semantics"] = semantics.model_dump(mode="json")
    outcome = job.step(
        "evaluate",
        lambda key: job.workspace.artifact("evaluations", f"{dataset}-{config.design}-{key[:12]}"),
        dataset=dataset,
        config={**config.model_dump(mode="json"), **resolved},
        inputs={"training_set": joined.key},
        work=work,
    )
    if results is not None:
        results.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: part for name, part in outcome.result.items() if name != "curves"}
        content = {"command": shlex.join(["llactr", *sys.argv[1:]]), "key": outcome.key, **kept}
        results.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return outcome


def _earlier_readings(job: Job, dataset: str) -> tuple[str, ...]:
    """When this workspace's earlier evaluations of the dataset read the test split."""
    folders = job.workspace.artifact("evaluations", dataset).parent.glob(f"{glob.escape(dataset)}-*/{MANIFEST}")
    made = [outcome_of(path.parent) for path in folders]
    return tuple(sorted(one.result["test_reading"]["read_at"] for one in made if one and "test_reading" in one.result))


def describe(outcome: StepOutcome, *, slices: bool = True) -> str:
    """The arms as tables, with verdicts in words; `slices` adds the treatments' differences in each slice."""
    reading = TestReading.model_validate(outcome.result["test_reading"])
    comparisons = [Comparison.model_validate(content) for content in outcome.result["comparisons"]]
    over = "draws" if reading.draws > 1 else "seeds"
    lines = [f"{reading.sentence}."]
    for comparison in comparisons:
        head = f"{'AUC':>8} {'logloss':>8} {'ECE':>7}   {'AUC against plain':<18}{f'95 %, over {over}':<21}over rows"
        lines += ["", f"{comparison.backbone:<25} {head}"]
        for runs in comparison.arms:
            auc, logloss, ece = (f"{runs.mean(metric):.4f}" for metric in ("auc", "logloss", "ece"))
            gap = _figures(comparison.difference(runs.arm), width=18)
            lines.append(f"  {runs.arm:<23} {auc:>8} {logloss:>8} {ece:>7}   {gap}".rstrip())
        lines += [f"  {said.verdict.value}. {said.sentence}" for said in comparison.judgements]
    if slices:
        head = f"{'plain':>8} {'arm':>8} {'AUC':>9}  {f'95 %, over {over}':<21}over rows"
        lines += ["", f"{'backbone and arm':<29} {'slice':<19} {head}"]
        for comparison in comparisons:
            for found in comparison.differences:
                if found.metric == "auc" and found.baseline == "plain" and role(found.arm) in {"plain", "treatment"}:
                    name = f"{comparison.backbone} {found.arm}"
                    figures = f"{found.baseline_mean:8.4f} {found.arm_mean:8.4f}   {_figures(found, width=9)}"
                    lines.append(f"{name:<29} {found.slice:<19} {figures}".rstrip())
    return "\n".join(lines)


def _figures(found: Difference | None, *, width: int) -> str:
    if found is None:
        return ""
    return f"{found.mean:<+{width}.4f}{_span(found.over_runs):<21}{_span(found.over_rows)}"


def _span(interval: Interval | None) -> str:
    return "-" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"
