"""What every peer is measured by; runs inside the peer's own environment, so it imports numpy and torch alone.

A job is a JSON file: `ids` and `label` (paths of .npy arrays: (N, F) int32 and (N,) float32), `sizes` (F vocabulary
sizes), `train`, `validation` and `test` (row ranges), `batch_size`, `seed`, and the models' `settings`.
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
    """Rows in memory, as tensors; batches by index, shuffled by the seed and the epoch."""

    def __init__(self, content: dict[str, Any], *, learning_rate: float) -> None:
        self.content, self.learning_rate = content, learning_rate
        self.facts: dict[str, float] = {}  # what a system adds to its result
        self.sizes: list[int] = content["sizes"]
        self.ids = torch.from_numpy(np.load(content["ids"]).astype(np.int64))
        self.label = torch.from_numpy(np.load(content["label"]))
        self.batch_size: int = content["batch_size"]

    def batches(self, epoch: int) -> tuple[torch.Tensor, ...]:
        """Row numbers of the epoch's batches."""
        order = torch.Generator().manual_seed(self.content["seed"] + epoch)
        start, stop = self.content["train"]
        return (start + torch.randperm(stop - start, generator=order)).split(self.batch_size)


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties counting half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    clicks = int(label.sum())
    return float((ranks[label > 0].sum() - clicks * (clicks + 1) / 2) / (clicks * (len(label) - clicks)))


def run(make: Callable[[str, Job], tuple[Step, Score]]) -> None:
    """Times a peer's training step, or trains epochs and measures AUC, and prints one JSON object.

    Args:
        make: gives, for a backbone's name and a job, the training step (ids, label) and the scoring (ids) of a batch.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=10, help="steps per timed piece")
    parser.add_argument("--pieces", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="train so many and measure AUC after each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    job = Job(json.loads(arguments.job.read_text()), learning_rate=arguments.learning_rate)
    torch.manual_seed(job.content["seed"])
    step, score = make(arguments.backbone, job)
    found = _epochs(job, step, score, arguments.epochs) if arguments.epochs else _rates(job, step, arguments)
    print(json.dumps({"backbone": arguments.backbone, **found, **job.facts}))


def _rates(job: Job, step: Step, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rows per CPU-second of each piece, in steps of full batches; a piece more is trained first and left out."""
    whole = [rows for rows in job.batches(1) if len(rows) == job.batch_size]
    rates = []
    for first in range(0, arguments.steps * (1 + arguments.pieces), arguments.steps):
        piece = [(job.ids[rows], job.label[rows]) for rows in whole[first : first + arguments.steps]]
        began = time.process_time()
        for ids, label in piece:
            step(ids, label)
        rates.append(len(piece) * job.batch_size / (time.process_time() - began))
    return {"rows_per_cpu_second": rates[1:]}


def _epochs(job: Job, step: Step, score: Score, epochs: int) -> dict[str, Any]:
    """Validation and test AUC after each epoch."""
    found: dict[str, Any] = {"validation_auc": [], "test_auc": [], "train_cpu_seconds": 0.0}
    for epoch in range(1, epochs + 1):
        began = time.process_time()
        for rows in job.batches(epoch):
            step(job.ids[rows], job.label[rows])
        found["train_cpu_seconds"] += time.process_time() - began
        for split in ("validation", "test"):
            start, stop = job.content[split]
            with torch.no_grad():
                scores = [np.asarray(score(ids), np.float64).reshape(-1) for ids in job.ids[start:stop].split(4096)]
            found[f"{split}_auc"].append(auc(job.label[start:stop].numpy(), np.concatenate(scores)))
    return found
