"""What the enhancement costs: CPU time of a training step and of scoring, enhanced against plain, one thread.

    python benchmarks/enhancement_cost.py [--backbones fm deepfm] [--repeats 15] [--json]

Data are made up in the shape of MovieLens-100K: 11 fields, 7,000 features, batches of 4096, D = 32, L = 384. A step is
all that a step is in training: forward, backward, and Adam over every parameter. Plain and enhanced are timed in turns,
a few steps each; a ratio is taken within each turn, so that what else the machine does meets both. The table shows
medians, and the range from the first to the third quartile of the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from llactr.ctr import BACKBONES, BackboneName, CTRModel, EnhancementConfig, ModelConfig, TrainConfig, predict
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from llactr.transforms import FieldLayout

ROWS, DIM, SEMANTIC_DIM = 4096, 32, 384
VOCABULARIES = (946, 64, 5, 24, 798, 1685, 1660, 74, 219, 1500, 10)
CALLS = 5
TRAINING_LIMITS = {"fm": 2.5, "deepfm": 1.6, "finalmlp": 1.3}
SCORING_LIMITS = dict.fromkeys(BACKBONES, 1.3) | {"fm": 2.0}


def batch() -> Batch:
    """Rows with Zipf-like ids: few features are frequent."""
    random = np.random.default_rng(0)
    ids = [3 + ((size - 3) * random.random(ROWS) ** 3).astype(np.int32) for size in VOCABULARIES]
    return Batch(
        ids=torch.from_numpy(np.stack(ids, axis=1)),
        label=torch.from_numpy((random.random(ROWS) < 0.55).astype(np.float32)),
        version=torch.zeros(ROWS, dtype=torch.int32),
    )


def build(backbone: BackboneName, *, enhanced: bool) -> CTRModel:
    layout = FieldLayout(tuple(f"field {n}" for n in range(len(VOCABULARIES))), VOCABULARIES, (1,) * len(VOCABULARIES))
    config = ModelConfig(backbone=backbone, embedding_dim=DIM, enhancement=EnhancementConfig() if enhanced else None)
    vectors = torch.nn.functional.normalize(torch.randn(len(VOCABULARIES), SEMANTIC_DIM), dim=1)
    return CTRModel(config, layout, vectors if enhanced else None)


def in_turns(plain: Callable[[], Any], enhanced: Callable[[], Any], repeats: int) -> dict[str, float]:
    """CPU milliseconds of a call of each, and their ratio."""
    times: dict[str, list[float]] = {"plain": [], "enhanced": []}
    for repeat in range(-1, repeats):  # the first turn warms up
        for name, call in (("plain", plain), ("enhanced", enhanced)):
            start = time.process_time()
            for _ in range(CALLS):
                call()
            if repeat >= 0:
                times[name].append((time.process_time() - start) / CALLS * 1000)
    ratios = [e / p for e, p in zip(times["enhanced"], times["plain"], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {
        "plain_ms": statistics.median(times["plain"]),
        "enhanced_ms": statistics.median(times["enhanced"]),
        "ratio": statistics.median(ratios),
        "ratio_low": low,
        "ratio_high": high,
    }


def measure(backbone: BackboneName, repeats: int) -> dict[str, Any]:
    rows = batch()
    models = [build(backbone, enhanced=False), build(backbone, enhanced=True)]
    steps = [TrainingStep(model, TrainConfig.of(backbone), Processes()) for model in models]
    for model in models:
        model.train()
    training = in_turns(lambda: steps[0](rows), lambda: steps[1](rows), repeats)
    scoring = in_turns(lambda: predict(models[0], rows.ids), lambda: predict(models[1], rows.ids), repeats)
    training["limit"] = TRAINING_LIMITS.get(backbone, float("inf"))
    scoring["limit"] = SCORING_LIMITS[backbone]
    return {"backbone": backbone, "training": training, "scoring": scoring}


def show(results: list[dict[str, Any]]) -> None:
    print(f"{'backbone':<10} {'what':<9} {'plain ms':>9} {'enhanced':>9} {'ratio':>6}  {'quartiles':<13} at most")
    for result in results:
        for what in ("training", "scoring"):
            r = result[what]
            limit = "" if r["limit"] == float("inf") else f"{r['limit']:.1f}"
            verdict = "" if not limit else ("  met" if r["ratio"] <= r["limit"] else "  NOT met")
            print(
                f"{result['backbone']:<10} {what:<9} {r['plain_ms']:9.2f} {r['enhanced_ms']:9.2f} {r['ratio']:6.2f}  "
                f"{r['ratio_low']:.2f} .. {r['ratio_high']:.2f}  {limit:>5}{verdict}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    results = [measure(backbone, arguments.repeats) for backbone in arguments.backbones]
    if arguments.json:
        facts = {"rows": ROWS, "dim": DIM, "semantic_dim": SEMANTIC_DIM, "vocabularies": VOCABULARIES}
        plain = json.dumps({**facts, "threads": 1, "torch": torch.__version__, "results": results}, default=str)
        print(plain.replace("Infinity", "null"))
    else:
        show(results)


if __name__ == "__main__":
    main()
