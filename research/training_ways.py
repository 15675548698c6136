"""Ways of training that were tried and not taken: row-wise Adagrad for the tables, torch.compile for the backbone.

Same click log, batches and rules as `benchmarks.training`: one thread, CPU time, learning rate and epoch chosen on
validation AUC.

    python -m research.training_ways --folder .bench
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.rate import Job, auc
from benchmarks.training import EPOCHS, LEARNING_RATES, SPLITS, prepare
from llactr.ctr import CTRModel, ModelConfig, TrainConfig
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from llactr.transforms import FieldLayout


ADAGRAD_RATES = (0.005, 0.01, 0.02, 0.05)


class RowwiseAdagrad:
    """One number of state a row: G += mean(g^2), e -= lr g / (sqrt(G) + eps), as FBGEMM's exact row-wise Adagrad."""

    def __init__(self, tables: Sequence[Tensor], learning_rate: float) -> None:
        self.tables, self.learning_rate = tables, learning_rate
        self.sums = [torch.zeros(len(table)) for table in tables]

    def fetch(self, rows: Tensor) -> list[Tensor]:
        """See `llactr.ctr.training.tables.Tables`."""
        with torch.no_grad():
            return [table.index_select(0, rows) for table in self.tables]

    @torch.no_grad()
    def update(self, rows: Tensor, gradients: Sequence[Tensor], *, current: Sequence[Tensor]) -> None:
        """See `llactr.ctr.training.tables.Tables`."""
        index = rows.long()
        for table, sums, values, gradient in zip(self.tables, self.sums, current, gradients, strict=True):
            square = gradient.square()
            state = sums.index_select(0, rows) + (square.mean(1) if square.dim() == 2 else square)
            sums.index_copy_(0, index, state)
            scale = self.learning_rate / (state.sqrt() + 1e-8)
            table.index_copy_(0, index, values - gradient * (scale.unsqueeze(1) if gradient.dim() == 2 else scale))

    def state(self) -> dict[str, Tensor]:
        """Not saved here."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Not saved here."""


def stepper(job: Job, backbone: str, way: str) -> tuple[Callable[[Tensor, Tensor], Tensor], CTRModel]:
    """A training step of one way, and its model."""
    layout = FieldLayout(tuple(f"f{k}" for k in range(len(job.sizes))), tuple(job.sizes), tuple(1 for _ in job.sizes))
    settings = dict(job.content["settings"].get(backbone, {}))
    if settings:
        settings["dropout"] = 0.0
    torch.manual_seed(0)
    model = CTRModel(ModelConfig.model_validate({"backbone": backbone, "settings": settings}), layout)
    adagrad = way == "row-wise Adagrad"
    dense_rate = LEARNING_RATES[1] if adagrad else job.learning_rate
    training = TrainConfig(embedding_optimizer="lazy", device="cpu", learning_rate=dense_rate)
    step = TrainingStep(model, training, Processes())
    if adagrad:
        step.tables = RowwiseAdagrad([table.detach() for table in step._own], job.learning_rate)
    if way == "torch.compile":
        model.backbone.forward = torch.compile(model.backbone.forward)
    version = torch.zeros(job.batch_size, dtype=torch.int32)
    return lambda ids, label: step(Batch(ids, label, version[: len(label)])), model


def rates(job: Job, backbone: str, way: str, *, pieces: int, steps: int = 5) -> dict[str, Any]:
    """Rows per CPU-second of full batches, and what came before the first timed step."""
    step, model = stepper(job, backbone, way)
    model.train()
    batches = [rows for rows in job.batches(1) if len(rows) == job.batch_size]
    began, found = time.process_time(), []
    for rows in batches[:2]:
        step(job.ids[rows], job.label[rows])
    before = time.process_time() - began
    for piece in range(pieces):
        chosen = [(job.ids[rows], job.label[rows]) for rows in batches[2 + piece * steps : 2 + (piece + 1) * steps]]
        began = time.process_time()
        for ids, label in chosen:
            step(ids, label)
        found.append(len(chosen) * job.batch_size / (time.process_time() - began))
    return {
        "rows_per_cpu_second": round(statistics.median(found)),
        "range": [round(min(found)), round(max(found))],
        "first_two_steps_cpu_s": round(before, 1),
    }


def chosen_auc(content: dict[str, Any], backbone: str, way: str, learning_rates: Sequence[float]) -> dict[str, Any]:
    """Test AUC where validation AUC is highest."""
    best: dict[str, Any] = {"validation_auc": 0.0}
    for rate in learning_rates:
        job = Job(content, learning_rate=rate)
        job.ids = job.ids.int()
        step, model = stepper(job, backbone, way)
        for epoch in range(1, EPOCHS + 1):
            model.train()
            for rows in job.batches(epoch):
                step(job.ids[rows], job.label[rows])
            model.eval()
            found = {}
            for split in ("validation", "test"):
                at = slice(*content[split])
                with torch.no_grad():
                    scores = torch.cat([model(ids) for ids in job.ids[at].split(4096)])
                found[f"{split}_auc"] = round(auc(job.label[at].numpy(), scores.double().numpy()), 4)
            if found["validation_auc"] > best["validation_auc"]:
                best = {"learning_rate": rate, "epoch": epoch, **found}
    return best


def main() -> None:
    """Prints one object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    content = json.loads(prepare(arguments.folder.absolute())["many"].read_text())
    job = Job(content, learning_rate=LEARNING_RATES[1])
    job.ids = job.ids.int()
    results = []
    for backbone, way in (
        ("fm", "lazy Adam"),
        ("fm", "row-wise Adagrad"),
        ("deepfm", "lazy Adam"),
        ("deepfm", "torch.compile"),
        ("finalmlp", "lazy Adam"),
        ("finalmlp", "torch.compile"),
    ):
        one: dict[str, Any] = {"backbone": backbone, "way": way, **rates(job, backbone, way, pieces=4)}
        if backbone == "fm":
            grid = ADAGRAD_RATES if way == "row-wise Adagrad" else LEARNING_RATES
            one |= chosen_auc(content, backbone, way, grid)
        results.append(one)
        print(one, file=sys.stderr, flush=True)
    print(json.dumps({"splits": SPLITS["many"], "results": results}, indent=1))


if __name__ == "__main__":
    main()
