"""When to stop FM and WuKong: on one validation tenth, as training does, or by windows as a user would live through them.

    python -m research.stopping --workspace WORKSPACE --backbones fm wukong [--seeds 0 1] [--epochs 16]

WORKSPACE holds MovieLens-100K as `llactr quickstart` leaves it. Windows train on the first 50, 60 and 70 % of the rows and
look at the next tenth after each epoch; the epochs with the best mean AUC over windows and seeds are taken to the test
tenth, which every rule reads once a seed:

    now      trained on 80 %, stopped by the next tenth
    windows  trained on 80 % for as many epochs as the windows say
    refit    trained on 90 %, for as many
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from llactr.columns import LABEL
from llactr.ctr import CTRData, CTRModel, ModelConfig, Split, TrainConfig, auc, predict, train
from llactr.store import training_rows
from llactr.store.ingested import dataset_spec
from llactr.transforms import Transform
from llactr.workspace import Workspace

WINDOWS = (0.5, 0.6, 0.7)


def fitted(spec: Any, rows: Any, train_end: float, held_end: float) -> tuple[Transform, CTRData]:
    """Vocabularies of the training part, and the split: train, the part that is looked at, test (the last tenth)."""
    count = rows.num_rows
    a, b, c = (round(share * count) for share in (train_end, held_end, 0.9))
    transform = Transform.fit(spec, rows.slice(0, a))
    split = Split(np.arange(a), np.arange(a, b), np.arange(c, count))
    label = rows[LABEL].to_numpy().astype(np.float32)
    return transform, CTRData(transform.ids(rows), label, np.zeros(count, np.int32), split)


def curve(
    backbone: str, transform: Transform, data: CTRData, seed: int, epochs: int, *, test: bool
) -> tuple[list[float], list[float], int]:
    """AUC after each epoch of the part that is looked at and, where asked for, of test; and the epoch kept now."""
    model = CTRModel(ModelConfig.model_validate({"backbone": backbone}), transform.layout, seed=seed)
    held, tested = [], []

    def after(record: Any) -> None:
        held.append(record.validation_auc)
        if test:
            rows = data.split.test
            tested.append(auc(data.label[rows], predict(model, data.ids[rows])))
            model.train()

    settings = TrainConfig.of(backbone, seed=seed, max_epochs=epochs, patience=epochs + 1)
    train(model, data, settings, progress=after)
    return held, tested, kept_now(held, len(data.split.train), backbone)


def kept_now(held: list[float], rows: int, backbone: str) -> int:
    """The epoch (from 1) that the trainer's own rule keeps: patience 2, not before its least steps."""
    settings = TrainConfig.of(backbone)
    steps = -(-rows // settings.batch_size)
    best = 0
    for epoch, value in enumerate(held):
        best = epoch if value > held[best] + 1e-6 else best
        if epoch - best >= settings.patience and (epoch + 1) * steps >= settings.min_steps:
            break
    return best + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--backbones", nargs="+", default=["fm", "wukong"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", type=int, default=16)
    options = parser.parse_args()
    workspace = Workspace.at(options.workspace)
    spec = dataset_spec(workspace, "movielens-100k")
    rows = training_rows(workspace, spec)
    for backbone in options.backbones:
        started = time.process_time()
        looked = []
        for window in WINDOWS:
            transform, data = fitted(spec, rows, window, window + 0.1)
            looked += [curve(backbone, transform, data, seed, options.epochs, test=False)[0] for seed in options.seeds]
        mean = np.mean(looked, axis=0)
        chosen = int(mean.argmax()) + 1
        print(f"{backbone}: windows say {chosen} epochs; mean AUC by epoch {np.round(mean, 4).tolist()}", flush=True)
        found: dict[str, list[float]] = {"now": [], "windows": [], "refit": []}
        for seed in options.seeds:
            held, tested, now = curve(backbone, *fitted(spec, rows, 0.8, 0.9), seed, options.epochs, test=True)
            found["now"].append(tested[now - 1])
            found["windows"].append(tested[chosen - 1])
            # Trained on 90 %, the tenth before test is trained on too; what is looked at decides nothing then.
            transform, data = fitted(spec, rows, 0.9, 1.0)
            again = curve(backbone, transform, data, seed, chosen, test=True)[1]
            found["refit"].append(again[chosen - 1])
            print(f"  seed {seed}: kept now is epoch {now}; test by epoch {np.round(tested, 4).tolist()}", flush=True)
        for rule, values in found.items():
            print(f"  {rule:<8} test AUC {np.mean(values):.4f}  {np.round(values, 4).tolist()}")
        print(f"  {time.process_time() - started:.0f} CPU-seconds", flush=True)


if __name__ == "__main__":
    main()
