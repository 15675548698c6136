"""What the product's own arms with history are worth, as `llactr train` makes them: AUC, within users, within requests.

    python -m research.history_arms WORKSPACE DATASET --arms plain items "history taste" "history taste permuted" \
        [--backbones fm deepfm] [--seeds 2] [--design items --draws 3] [--delay 1h] [--validation] [--out FILE]

Logits of seeds are averaged before they are judged; intervals resample users. With `--validation` the rows judged are
those of validation, and test is not read: for choosing.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from llactr.ctr import predict, train
from llactr.ctr.training.build import train_config
from llactr.evaluation.arms import Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.draws import Draws
from llactr.evaluation.prepared import prepared
from llactr.evaluation.ranking import METRICS, RankingRows
from llactr.evaluation.rows import user_codes
from llactr.evaluation.slices import row_slices
from llactr.evaluation.treatments import arm_model
from llactr.jobs.cli.console import Terminal
from llactr.semantics import ValueSemanticsConfig
from llactr.spec import DatasetSpec
from llactr.steps import Job
from llactr.store import events_table
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace


def mean_logits(
    draws: Draws, draw: int, backbone: str, arm: Arm, config: EvaluateConfig, part: str
) -> NDArray[np.float32]:
    """Logits of a part's rows, the mean over seeds."""
    found = []
    for seed in range(config.seeds):
        model, data = arm_model(draws[draw], backbone, arm, seed, config, history=draws.histories.key(arm))
        train(model, data, train_config(backbone, seed, config.training.get(backbone, {})))
        rows = getattr(data.split, part)
        scores = predict(model, data.ids[rows], data.version[rows]).astype(np.float64)
        found.append(np.log(scores) - np.log1p(-scores))
    return np.mean(found, axis=0).astype(np.float32)


def judged(job: Job, spec: DatasetSpec, config: EvaluateConfig, options: Any) -> list[dict[str, Any]]:
    """All arms of all backbones, with differences from the first arm and from `--against`."""
    ready = prepared(job, spec.name, config, ValueSemanticsConfig())
    draws, part = ready.runs.draws, "validation" if options.validation else "test"
    users = user_codes(job.workspace, spec)
    assert users is not None
    times = events_table(job.workspace, spec)["event_timestamp"].cast("int64").to_numpy()
    found = []
    for draw in range(config.draw_count):
        training_set = draws[draw].training_set
        rows = getattr(training_set.data.split, part)
        label = training_set.data.label[rows]
        judge = RankingRows(label, users[rows], times[rows], draws=300)
        unseen = row_slices(spec, training_set.transform, training_set.data.ids[rows])["unseen items"]
        for backbone in config.backbones:
            scores: dict[str, NDArray[np.float32]] = {}
            for name in options.arms:
                scores[name] = mean_logits(draws, draw, backbone, Arm.parse(name), config, part)
                ranking = judge.measure(scores[name])
                entry: dict[str, Any] = {"dataset": spec.name, "draw": draw, "backbone": backbone, "arm": name}
                entry |= {metric: getattr(ranking, metric) for metric in METRICS}
                if unseen.any():
                    kept = RankingRows(label[unseen], users[rows][unseen], times[rows][unseen], draws=1)
                    entry["unseen items"] = kept.measure(scores[name][unseen]).auc
                print(" ".join(f"{k} {v:.4f}" if isinstance(v, float) else str(v) for k, v in entry.items()), flush=True)
                for base in dict.fromkeys([options.arms[0], *options.against]):
                    if base != name and base in scores:
                        entry[f"minus {base}"] = judge.difference(scores[name], scores[base])
                        shown = entry[f"minus {base}"].items()
                        said = "  ".join(f"{m} {d:+.4f} [{lo:+.4f}, {hi:+.4f}]" for m, (d, lo, hi) in shown)
                        print(f"    minus {base}: {said}", flush=True)
                found.append(entry)
    return found


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--arms", nargs="+", default=["plain", "items", "history", "history taste"])
    parser.add_argument("--against", nargs="*", default=[])
    parser.add_argument("--backbones", nargs="+", default=["fm"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--design", default="chronological")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--delay")
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = EvaluateConfig.model_validate(
        {
            "arms": options.arms,
            "backbones": options.backbones,
            "seeds": options.seeds,
            "design": options.design,
            "draws": options.draws,
            "outcome_delay": options.delay,
        }
    )
    job = Job(Workspace.at(options.workspace), Terminal(as_json=True))
    found = judged(job, dataset_spec(job.workspace, options.dataset), config, options)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
