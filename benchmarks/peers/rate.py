"""What every peer is measured by; runs inside the peer's own environment, so it imports numpy and torch alone.

A job is a JSON file: `ids` and `label` (paths of .npy arrays: (N, F) int32 and (N,) float32), `sizes` (F vocabulary
sizes), `train` and `test` (row ranges), `batch_size`, `seed`, and per call the backbone, the steps to time and whether
to train a whole epoch and measure test AUC.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["Job", "auc", "run"]


Step = Callable[[torch.Tensor, torch.Tensor], object]
Score = Callable[[torch.Tensor], Any]


class Job:
    """Rows in memory, as tensors; batches by index, shuffled by the seed."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.facts: dict[str, float] = {}  # what a system adds to its result
        self.sizes: list[int] = content["sizes"]
        self.ids = torch.from_numpy(np.load(content["ids"]).astype(np.int64))
        self.label = torch.from_numpy(np.load(content["label"]))
        self.batch_size: int = content["batch_size"]
        order = torch.Generator().manual_seed(content["seed"])
        start, stop = content["train"]
        self.batches = (start + torch.randperm(stop - start, generator=order)).split(self.batch_size)


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties counting half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    clicks = int(label.sum())
    return float((ranks[label > 0].sum() - clicks * (clicks + 1) / 2) / (clicks * (len(label) - clicks)))


def run(
    make: Callable[[str, Job], tuple[Callable[[torch.Tensor, torch.Tensor], None], Callable[[torch.Tensor], Any]]],
) -> None:
    """Times a peer's training step and prints one JSON object.

    Args:
        make: gives, for a backbone's name and a job, the training step (ids, label) and the scoring (ids) of a batch.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--steps", type=int, default=20, help="steps per timed repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--auc", action="store_true", help="train one epoch and measure test AUC")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    job = Job(json.loads(arguments.job.read_text()))
    step, score = make(arguments.backbone, job)
    epoch = [b for b in job.batches if arguments.auc or len(b) == job.batch_size]
    wanted = 1 + arguments.steps * arguments.repeats
    batches = epoch if arguments.auc else epoch[:wanted]
    seconds, rows = [], []
    for batch in batches:
        ids, label = job.ids[batch], job.label[batch]
        began = time.process_time()
        step(ids, label)
        seconds.append(time.process_time() - began)
        rows.append(len(batch))
    rates = [
        sum(rows[at : at + arguments.steps]) / sum(seconds[at : at + arguments.steps])
        for at in range(1, len(seconds) - arguments.steps + 1, arguments.steps)
    ]
    result: dict[str, Any] = {
        "backbone": arguments.backbone,
        "rows_per_cpu_second": rates,
        "steps": len(seconds),
        **job.facts,
    }
    if arguments.auc:
        start, stop = job.content["test"]
        scores = []
        with torch.no_grad():
            for ids in job.ids[start:stop].split(4096):
                scores.append(np.asarray(score(ids), np.float64).reshape(-1))
        result["test_auc"] = auc(job.label[start:stop].numpy(), np.concatenate(scores))
        result["train_cpu_seconds"] = sum(seconds)
    print(json.dumps(result))
