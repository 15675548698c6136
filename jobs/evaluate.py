"""`llactr evaluate`: plain against enhanced against placebo, paired seeds, test metrics with confidence intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.config import ArmName, EvaluateConfig
from jobs.console import Advance
from jobs.step import Job, StepOutcome
from jobs.train import build_model, join, train_config
from llactr.ctr import BackboneName, TrainingSet, measure, predict, train
from llactr.diagnostics import ArmRuns, Comparison, compare

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, config: EvaluateConfig) -> StepOutcome:
    """Trains every arm with every seed and compares them on the test split, which is read once per trained model."""
    training = {name: train_config(name, 0, config.training.get(name, {})) for name in config.backbones}
    resolved = {name: settings.model_dump(mode="json") for name, settings in training.items()}
    joined, training_set = join(job, dataset)

    def work(_: Path, advance: Advance) -> dict[str, Any]:
        comparisons, curves = [], []
        total = len(config.backbones) * len(config.arms) * config.seeds
        done = 0
        for backbone in config.backbones:
            runs = []
            for arm in config.arms:
                found = []
                for seed in range(config.seeds):
                    advance(done, total, f"{backbone} {arm}, seed {seed}")
                    found.append(_one(training_set, backbone, arm, seed, config))
                    done += 1
                curves += [one["curve"] for one in found]
                runs.append(_arm_runs(arm, found))
            comparisons.append(compare(backbone, runs))
        advance(total, total, _headline(comparisons[0]))
        return {
            "comparisons": [comparison.model_dump(mode="json") for comparison in comparisons],
            "curves": curves,
            "seeds": list(range(config.seeds)),
        }

    return job.step(
        "evaluate",
        lambda key: job.workspace.artifact("evaluations", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config={**config.model_dump(mode="json"), "training": resolved},
        inputs={"training_set": joined.key},
        work=work,
    )


def _one(
    training_set: TrainingSet, backbone: BackboneName, arm: ArmName, seed: int, config: EvaluateConfig
) -> dict[str, Any]:
    """One trained model's test metrics and learning curve. Runs of one seed share batches and initial weights."""
    model = build_model(
        training_set,
        backbone,
        arm,
        enhancement=config.enhancement,
        settings=config.settings.get(backbone, {}),
        seed=seed,
    )
    result = train(model, training_set.data, train_config(backbone, seed, config.training.get(backbone, {})))
    data = training_set.data
    test = data.split.test
    found = measure(data.label[test], predict(model, data.ids[test], data.version[test]))
    curve = {
        "backbone": backbone,
        "arm": arm,
        "seed": seed,
        "train_loss": [record.train_clicks_loss for record in result.history],
        "validation_auc": [record.validation_auc for record in result.history],
        "best_epoch": result.best_epoch,
    }
    return {"auc": found.auc, "logloss": found.logloss, "seed": seed, "seconds": result.cpu_seconds, "curve": curve}


def _arm_runs(arm: ArmName, found: list[dict[str, Any]]) -> ArmRuns:
    return ArmRuns(
        arm=arm,
        seeds=tuple(one["seed"] for one in found),
        auc=tuple(one["auc"] for one in found),
        logloss=tuple(one["logloss"] for one in found),
        train_s=tuple(one["seconds"] for one in found),
    )


def _headline(comparison: Comparison) -> str:
    return f"{comparison.backbone}: {comparison.verdict.value}"


def describe(outcome: StepOutcome) -> str:
    """The comparison as a table and a verdict in words."""
    lines = []
    for content in outcome.result["comparisons"]:
        comparison = Comparison.model_validate(content)
        lines.append(f"{comparison.backbone:<10} {'AUC':>8} {'logloss':>8}   difference to plain, 95 % interval")
        for runs in comparison.arms:
            difference = comparison.difference(runs.arm, "plain")
            gap = ""
            if difference is not None:
                gap = f"{difference.mean:+.4f}"
                if difference.low is not None and difference.high is not None:
                    gap += f"  [{difference.low:+.4f}, {difference.high:+.4f}]"
            lines.append(f"  {runs.arm:<8} {runs.mean_auc:8.4f} {runs.mean_logloss:8.4f}   {gap}")
        lines.append(f"  {comparison.verdict.value}: {comparison.sentence}")
    return "\n".join(lines)
