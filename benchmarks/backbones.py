"""Test AUC of the six plain backbones on an ingested dataset, weight decay chosen on validation.

For each backbone and weight decay, models of several seeds are trained. Among the decays whose mean validation AUC is
within one standard error of the best, the one that takes the fewest steps is chosen; its mean test AUC is printed. The
test split plays no part in the choice.

    python -m benchmarks.backbones --workspace .llactr [--backbone fm ...] [--json]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from llactr.ctr import BACKBONES, BackboneName, TrainingSet, measure, predict, train
from llactr.ctr.training.build import build_model, train_config
from llactr.ctr.training.join import join
from llactr.jobs.cli.console import Terminal
from llactr.steps import Job
from llactr.workspace import Workspace

DECAYS = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
TARGETS = {"fm": 0.774, "fwfm": 0.775, "deepfm": 0.780, "fmfm": 0.780, "finalmlp": 0.780, "wukong": 0.775}
"""Of the authors' code; DIN is not among it."""


def trained(training_set: TrainingSet, backbone: BackboneName, decay: float, seed: int) -> dict[str, float]:
    """Validation and test AUC of one plain model."""
    model, _ = build_model(training_set, backbone, enhancement=None, settings={}, seed=seed)
    result = train(model, training_set.data, train_config(backbone, seed, {"weight_decay": decay}))
    data, test = training_set.data, training_set.data.split.test
    found = measure(data.label[test], predict(model, data.ids[test], data.version[test]))
    assert found.auc is not None
    assert result.validation.auc is not None
    return {"validation": result.validation.auc, "test": found.auc, "steps": result.steps, "cpu_s": result.cpu_seconds}


def chosen(by_decay: dict[float, list[dict[str, float]]]) -> float:
    """The cheapest decay whose validation AUC is within one standard error of the best."""
    mean = {decay: statistics.mean(run["validation"] for run in runs) for decay, runs in by_decay.items()}
    best = max(mean, key=lambda decay: mean[decay])
    spread = [run["validation"] for run in by_decay[best]]
    error = statistics.stdev(spread) / math.sqrt(len(spread)) if len(spread) > 1 else 0.0
    near = [decay for decay in by_decay if mean[decay] >= mean[best] - error]
    return min(near, key=lambda decay: statistics.mean(run["steps"] for run in by_decay[decay]))


def main() -> None:
    """Trains, chooses, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace")
    parser.add_argument("--dataset", default="movielens-100k")
    parser.add_argument("--backbone", action="append", choices=BACKBONES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    job = Job(Workspace.at(arguments.workspace), Terminal(as_json=True))
    _, training_set = join(job, arguments.dataset)
    table: list[dict[str, Any]] = []
    for backbone in arguments.backbone or BACKBONES:
        by_decay: dict[float, list[dict[str, float]]] = {}
        for decay in DECAYS:
            by_decay[decay] = [trained(training_set, backbone, decay, seed) for seed in range(arguments.seeds)]
        decay = chosen(by_decay)
        runs = by_decay[decay]
        test = [run["test"] for run in runs]
        row = {
            "backbone": backbone,
            "weight_decay": decay,
            "validation_auc": statistics.mean(run["validation"] for run in runs),
            "test_auc": statistics.mean(test),
            "test_auc_range": [min(test), max(test)],
            "target": TARGETS.get(backbone, float("nan")),
            "cpu_s": statistics.mean(run["cpu_s"] for run in runs),
            "grid": {str(d): {"validation": [r["validation"] for r in by_decay[d]]} for d in DECAYS},
        }
        table.append(row)
        if not arguments.json:
            low, high = row["test_auc_range"]
            print(
                f"{backbone:<9} decay {decay:<7g} validation {row['validation_auc']:.4f}  test {row['test_auc']:.4f} "
                f"[{low:.4f}, {high:.4f}]  target {row['target']:.3f}  {row['cpu_s']:.1f} CPU-s a model",
                flush=True,
            )
    if arguments.json:
        print(json.dumps({"dataset": arguments.dataset, "seeds": arguments.seeds, "backbones": table}, indent=1))


if __name__ == "__main__":
    main()
