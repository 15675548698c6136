"""AUC within users of arms that read a person's past, as it is and as of one moment: validation rows, no test row.

    python -m research.moments --data FOLDER --cache DIR [SET ...] [--backbone fm] [--seeds 1] [--decay 0]

FOLDER and DIR as of `research.many`. AUC within users compares a person's rows of different moments, between which the
person's past has moved with the outcomes that are ranked: on noise it rises (docs/verdict.md). As of one moment the
numbers that are the person's own are left out. Nothing but the fields is encoded, so taste reads categories alone;
weight decay is the product's default for each arm, unless one is given for all.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from llactr.evaluation.arms import Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.prepared import prepared
from llactr.evaluation.resampling import Resamples
from llactr.evaluation.rows import user_codes
from llactr.evaluation.slices import weighted_auc, within_users
from llactr.jobs import encode, ingest, materialize
from llactr.jobs.cli.console import Terminal
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.steps import Job
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace
from research.datasets.tables import SPECS, names, prepared as prepared_tables, spec_of

ARMS = ("plain", "items", "history", "history taste")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--backbone", default="fm")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--decay", type=float)
    options = parser.parse_args()
    for name in options.sets or [name for name in names() if "user" in spec_of(name).entities]:
        print(f"{name}, {options.backbone}: AUC, within users, as of one moment; over plain, 95 % over users", flush=True)
        started = time.process_time()
        one_set(name, options)
        print(f"  {time.process_time() - started:.0f} CPU-seconds", flush=True)


def one_set(name: str, options: argparse.Namespace) -> None:
    """Trains the arms and prints a line each."""
    job = Job(Workspace.at(options.cache / "moments" / name), Terminal(as_json=False))
    folder = prepared_tables(name, options.data, options.cache / "tables")
    ingest.run(job, str(SPECS / f"{name}.yaml"), data_folder=folder)
    encode.run(job, name, SemanticsConfig(), untuned=True, effective_from="start")
    materialize.apply(job)
    arms = tuple(map(Arm.parse, ARMS))
    training = {} if options.decay is None else {options.backbone: {"weight_decay": options.decay}}
    config = EvaluateConfig(arms=arms, backbones=(options.backbone,), seeds=options.seeds, training=training)
    runs = prepared(job, name, config, ValueSemanticsConfig()).runs
    runs.train_all(lambda *_: None)
    rows = runs.draws[0].training_set.data.split.validation
    label = runs.draws[0].training_set.data.label[rows]
    codes = user_codes(job.workspace, dataset_spec(job.workspace, name))
    assert codes is not None, "the set has users"
    drawn = Resamples.of(len(rows), 400, users=codes[rows])
    every = np.ones(len(rows), np.bool_)
    found: dict[str, list[tuple[float, np.ndarray]]] = {}
    for arm in arms:
        figures = []
        plainly = runs.validation_scores(options.backbone, arm)
        calmly = runs.validation_scores(options.backbone, arm, still=True) if arm.reads_a_person else plainly
        for scores, calm in zip(plainly, calmly):
            whole = weighted_auc(label, scores, [np.ones(len(rows)), *drawn.weights(every)])
            within = [within_users(label, some, codes[rows], drawn) for some in (scores, calm)]
            figures.append([(whole[0], whole[1:]), *within])
        found[str(arm)] = [
            (float(np.mean([one[at][0] for one in figures])), np.mean([one[at][1] for one in figures], axis=0))
            for at in range(3)
        ]
        told = []
        for (value, sample), (base, plain) in zip(found[str(arm)], found["plain"]):
            low, high = np.nanpercentile(sample - plain, [2.5, 97.5])
            told.append(f"{value:.4f} {value - base:+.4f} [{low:+.4f}, {high:+.4f}]")
        print(f"  {arm!s:<14} " + "   ".join(told), flush=True)


if __name__ == "__main__":
    main()
