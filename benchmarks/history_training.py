"""What history costs in training: CPU time of the steps over a table of rows, with it against the same model without.

    python -m benchmarks.history_training                       # 1M rows, DeepFM and FM
    python -m benchmarks.history_training --rows 200000 --backbones deepfm finalmlp

Rows are made up: ids in the shape of MovieLens-100K, and the ten history numbers that a spec without fields of its own
has, of as many made-up events, which the pass computes first, outside of the clock. A step is all that a step is in
training: forward, backward, and Adam over every parameter, batches of 4096, D = 32, one thread. Both models see the
same batches in turns of five, once over all rows; a ratio is taken within each turn. What a user alone has is additive,
as in the product.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.enhancement_cost import DIM, VOCABULARIES
from benchmarks.history import definition_of, drawn_events
from llactr.ctr import BACKBONES, BackboneName, CTRModel, ModelConfig, TrainConfig
from llactr.ctr.history import with_history
from llactr.ctr.history_arms import history_input
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from llactr.history import HistoryDefinition, history_rows
from llactr.spec import HistorySpec
from llactr.transforms import FieldLayout

__all__ = ["main", "measure"]

BATCH, TURN, LIMIT = 4096, 5, 1.3


def measure(backbone: BackboneName, ids: NDArray[np.int32], numbers: NDArray[np.float32], label: Any) -> dict[str, Any]:
    """CPU milliseconds of a step without and with history, over all rows, and their ratio by turns."""
    layout = FieldLayout(tuple(f"field {n}" for n in range(len(VOCABULARIES))), VOCABULARIES, (1,) * len(VOCABULARIES))
    history = history_input(HistorySpec())
    made = {"plain": CTRModel(ModelConfig(backbone=backbone, embedding_dim=DIM), layout)}
    made["history"] = CTRModel(ModelConfig(backbone=backbone, embedding_dim=DIM, history=history), layout)
    assert made["history"].history is not None
    made["history"].history.fit(numbers)
    steps = {name: TrainingStep(model.train(), TrainConfig.of(backbone), Processes()) for name, model in made.items()}
    rows = {"plain": ids, "history": with_history(ids, numbers)}
    times: dict[str, list[float]] = {"plain": [], "history": []}
    order = np.random.default_rng(0).permutation(len(ids))
    turns = [order[at : at + TURN * BATCH] for at in range(0, len(order) - TURN * BATCH + 1, TURN * BATCH)]
    for number, turn in enumerate([turns[0], *turns]):  # the first turn warms up
        for name, step in steps.items():
            batches = [
                Batch(
                    ids=torch.from_numpy(rows[name][some]),
                    label=torch.from_numpy(label[some]),
                    version=torch.zeros(len(some), dtype=torch.int32),
                )
                for some in np.split(turn, TURN)
            ]
            began = time.process_time()
            for batch in batches:
                step(batch)
            if number:
                times[name].append((time.process_time() - began) / TURN * 1000)
    ratios = sorted(h / p for h, p in zip(times["history"], times["plain"], strict=True))
    return {
        "backbone": backbone,
        "steps": TURN * len(turns),
        "plain_ms": statistics.median(times["plain"]),
        "history_ms": statistics.median(times["history"]),
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[len(ratios) // 4],
        "ratio_high": ratios[3 * len(ratios) // 4],
        "ratio_of_all": sum(times["history"]) / sum(times["plain"]),
    }


def main() -> None:
    """Prints a table, and writes the figures where it is asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=["deepfm", "fm"])
    parser.add_argument("--json", type=Path, help="a file for the figures")
    given = parser.parse_args()
    if given.rows < TURN * BATCH:
        parser.error(f"--rows must be at least {TURN * BATCH}, one turn")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    definition = HistoryDefinition(HistorySpec(), 0.3, {"both": definition_of().vectors["text"]})
    ids = [3 + ((size - 3) * random.random(given.rows) ** 3).astype(np.int32) for size in VOCABULARIES]
    events = drawn_events(definition_of(), given.rows)
    numbers = history_rows(definition, events, neighbour_steps=0)
    found = [measure(backbone, np.stack(ids, axis=1), numbers, events.outcome) for backbone in given.backbones]
    print("| backbone | steps | plain, CPU ms | history, CPU ms | ratio | quartiles | of all steps | at most |")
    print("|---|---:|---:|---:|---:|---|---:|---:|")
    for one in found:
        print(
            f"| {one['backbone']} | {one['steps']} | {one['plain_ms']:.1f} | {one['history_ms']:.1f} "
            f"| {one['ratio']:.2f} | {one['ratio_low']:.2f} to {one['ratio_high']:.2f} | {one['ratio_of_all']:.2f} "
            f"| {LIMIT} |"
        )
    if given.json:
        given.json.write_text(json.dumps({"rows": given.rows, "results": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
