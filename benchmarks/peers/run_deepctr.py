"""DeepCTR-Torch on a job; run by the Python of its environment.

Its `fit` builds a loader around arrays of floats; here its model, loss and optimizer take the same steps on batches
from memory, as `BaseModel.fit` does: sum of the losses, its regularization term, Adam over all parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from deepctr_torch.inputs import SparseFeat
from deepctr_torch.models import DeepFM
from rate import Job, run

DIM = 32


def make(backbone: str, job: Job) -> tuple[Any, Any]:
    """DeepCTR-Torch's training step and scoring; FM is its DeepFM without the perceptron."""
    columns = [SparseFeat(f"f{k}", size, embedding_dim=DIM) for k, size in enumerate(job.sizes)]
    hidden = tuple(job.content["settings"]["deepfm"]["hidden_units"]) if backbone == "deepfm" else ()
    model = DeepFM(
        columns, columns, dnn_hidden_units=hidden, l2_reg_linear=0, l2_reg_embedding=0, l2_reg_dnn=0, device="cpu"
    )
    model.compile(torch.optim.Adam(model.parameters(), lr=job.learning_rate), "binary_crossentropy")

    def step(ids: torch.Tensor, label: torch.Tensor) -> None:
        model.train()
        predicted = model(ids.float()).squeeze(1)
        model.optim.zero_grad()
        loss = model.loss_func(predicted, label, reduction="sum") + model.get_regularization_loss() + model.aux_loss
        loss.backward()
        model.optim.step()

    def score(ids: torch.Tensor) -> Any:
        model.eval()
        return model(ids.float()).numpy()

    return step, score


if __name__ == "__main__":
    run(make)
