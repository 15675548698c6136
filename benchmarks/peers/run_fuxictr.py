"""FuxiCTR 2.3.10 on a job, in FuxiCTR's own training step; run by the Python of its environment.

Its wheel carries the layers and the base model, but not the model zoo, so the models are put together here from those
layers as the zoo does it: the same layers, the same initial values, `BaseModel.train_step` (Adam over all parameters,
gradient clipping). Its loader is left out: batches come from memory.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import (
    FactorizationMachine,
    FeatureEmbedding,
    InnerProductInteraction,
    LogisticRegression,
    MLP_Block,
)
from fuxictr.pytorch.models import BaseModel
from model_zoo.LongCTR.FinalMLP.FinalMLP import FeatureSelection, InteractionAggregation
from rate import Job, run
from torch import nn

DIM = 32


class Ranker(BaseModel):
    """Embeddings, then `parts`, then `logits`."""

    def __init__(
        self, feature_map: FeatureMap, backbone: str, settings: dict[str, Any], *, learning_rate: float
    ) -> None:
        super().__init__(
            feature_map, model_root="/tmp", metrics=["AUC"], verbose=0, embedding_regularizer=0.0, net_regularizer=0.0
        )
        # FuxiCTR has no regularization with None; 0.0 would make it walk over the parameters in vain.
        self._embedding_regularizer = self._net_regularizer = None
        self._max_gradient_norm = 10.0
        fields = feature_map.num_fields
        self.backbone, self.dim = backbone, DIM
        self.embedding_layer = FeatureEmbedding(feature_map, DIM)
        if backbone in ("fm", "deepfm"):
            self.fm = FactorizationMachine(feature_map)
        if backbone == "deepfm":
            self.mlp = MLP_Block(
                input_dim=fields * DIM,
                output_dim=1,
                hidden_units=list(settings["hidden_units"]),
                hidden_activations="ReLU",
            )
        if backbone == "fwfm":
            self.inner = InnerProductInteraction(fields, output="inner_product")
            self.pair_weight = nn.Linear(fields * (fields - 1) // 2, 1)
            self.linear_weight = nn.Linear(fields * DIM, 1, bias=False)
        if backbone == "fmfm":
            self.left, self.right = torch.triu_indices(fields, fields, offset=1)
            self.pair_matrix = nn.Parameter(torch.empty(fields * (fields - 1) // 2, DIM, DIM))
            nn.init.xavier_normal_(self.pair_matrix)
            self.linear = LogisticRegression(feature_map)
        if backbone.startswith("finalmlp"):
            size = fields * DIM
            first, second = list(settings["first_hidden_units"]), list(settings["second_hidden_units"])
            self.gates = FeatureSelection(feature_map, size, DIM, list(settings["gate_hidden_units"]), [], [])
            self.first = MLP_Block(input_dim=size, hidden_units=first, hidden_activations="ReLU")
            self.second = MLP_Block(input_dim=size, hidden_units=second, hidden_activations="ReLU")
            self.fusion = InteractionAggregation(first[-1], second[-1], 1, settings["num_heads"])
        self.compile("adam", "binary_crossentropy", learning_rate)
        self.reset_parameters()

    def logits(self, inputs: dict[str, torch.Tensor], embedded: torch.Tensor) -> torch.Tensor:
        """(B, 1) from (B, F, D)."""
        if self.backbone == "fm":
            return self.fm(inputs, embedded)
        if self.backbone == "deepfm":
            return self.fm(inputs, embedded) + self.mlp(embedded.flatten(start_dim=1))
        if self.backbone == "fwfm":
            return self.pair_weight(self.inner(embedded)) + self.linear_weight(embedded.flatten(start_dim=1))
        if self.backbone == "fmfm":
            left = torch.matmul(embedded[:, self.left].unsqueeze(2), self.pair_matrix).squeeze(2)
            pairs = (left * embedded[:, self.right]).sum(dim=-1).sum(dim=-1, keepdim=True)
            return pairs + self.linear(inputs)
        first, second = self.gates(inputs, embedded.flatten(start_dim=1))
        return self.fusion(self.first(first), self.second(second))

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        inputs = self.get_inputs(batch)
        embedded = self.embedding_layer(inputs)
        return {"y_pred": self.output_activation(self.logits(inputs, embedded))}


def make(backbone: str, job: Job) -> tuple[Any, Any]:
    """FuxiCTR's training step and scoring."""
    logging.disable()
    names = [f"f{k}" for k in range(len(job.sizes))]
    features = FeatureMap("clicks", "/tmp")
    features.labels = ["label"]
    for name, size in zip(names, job.sizes, strict=True):
        features.features[name] = {"source": "", "type": "categorical", "vocab_size": size}
    features.num_fields = len(names)
    features.set_column_index()
    model = Ranker(features, backbone, job.content["settings"].get(backbone, {}), learning_rate=job.learning_rate)

    def batch_of(ids: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(names, ids.unbind(1), strict=True))

    def step(ids: torch.Tensor, label: torch.Tensor) -> None:
        model.train()
        model.train_step({**batch_of(ids), "label": label})

    def score(ids: torch.Tensor) -> Any:
        model.eval()
        return model({**batch_of(ids), "label": ids[:, 0]})["y_pred"].numpy()

    return step, score


if __name__ == "__main__":
    run(make)
