"""llactr on a job: the trainer's own step with the lazy optimizer; run by the Python that has llactr."""

from __future__ import annotations

import time
from typing import Any

import torch
from rate import Job, run

from llactr.ctr import CTRModel, ModelConfig, TrainConfig
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from llactr.transforms import FieldLayout


def make(backbone: str, job: Job) -> tuple[Any, Any]:
    """llactr's training step and scoring."""
    layout = FieldLayout(tuple(f"f{k}" for k in range(len(job.sizes))), tuple(job.sizes), tuple(1 for _ in job.sizes))
    settings = dict(job.content["settings"].get(backbone, {}))
    if settings:
        settings["dropout"] = 0.0
    name = backbone.partition("-")[0]
    config = ModelConfig.model_validate({"backbone": name, "embedding_dim": 32, "settings": settings})
    model = CTRModel(config, layout, seed=job.content["seed"])
    if name == "finalmlp":
        _start_as_fuxictr(model, job.content["seed"])
    training = TrainConfig(embedding_optimizer="lazy", device="cpu", learning_rate=job.learning_rate)
    training_step = TrainingStep(model, training, Processes())
    version = torch.zeros(job.batch_size, dtype=torch.int32)
    job.ids = job.ids.to(torch.int32)

    def step(ids: torch.Tensor, label: torch.Tensor) -> None:
        model.train()
        training_step(Batch(ids, label, version[: len(label)]))

    def score(ids: torch.Tensor) -> Any:
        model.eval()
        return model(ids).numpy()

    if backbone == "deepfm":
        job.facts["mlp_rows_per_cpu_second"] = _scoring_rate(model.backbone.mlp, job)
    return step, score


def _start_as_fuxictr(model: CTRModel, seed: int) -> None:
    """FuxiCTR's initial weights: after the one or two epochs that the comparison has, FinalMLP still shows its own."""
    torch.manual_seed(seed)
    torch.nn.init.normal_(model.embedding.weight, std=1e-4)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)


def _scoring_rate(perceptron: torch.nn.Module, job: Job) -> float:
    """Rows per CPU-second of the perceptron's forward pass alone: no training step can be faster than a third of it."""
    rows = torch.randn(job.batch_size, len(job.sizes) * 32)
    rates = []
    with torch.inference_mode():
        for _ in range(12):
            began = time.process_time()
            perceptron(rows)
            rates.append(len(rows) / (time.process_time() - began))
    return sorted(rates[2:])[5]


if __name__ == "__main__":
    run(make)
