"""WuKong: stacked factorization-machine and linear-compression blocks (Zhang et al. 2024, section 3).

This is the variant in the LLaCTR authors' code: each layer flattens its input, both blocks give vectors, and one
linear map brings them back to (F, D). The paper keeps embeddings as rows throughout.

Letters: B rows, F fields, D embedding dim, R projection dim.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from llactr.ctr.backbones import BACKBONES, BackboneSettings
from llactr.ctr.backbones.base import Backbone, perceptron
from llactr.ctr.pairs import PairWeights, weighted_pairs

__all__ = ["WuKong", "WuKongSettings"]


class WuKongSettings(BackboneSettings):
    """A stack of factorization-machine and linear-compression blocks, in the authors' flattened variant."""

    num_layers: int = Field(default=2, ge=1)
    project_dim: int = Field(default=8, ge=1)
    fmb_units: tuple[int, ...] = Field(default=(32, 32), min_length=1)
    fmb_dim: int = Field(default=32, ge=1)
    compression_dim: int = Field(default=32, ge=1)
    mlp_hidden_units: tuple[int, ...] = Field(default=(32, 32), min_length=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)


@BACKBONES.register("wukong")
class WuKong(Backbone):
    """Layers, then a perceptron."""

    settings = WuKongSettings
    # The best of a few pairs that were tried by hand.
    training_defaults: ClassVar = {"weight_decay": 1e-2, "learning_rate": 3e-4}
    linear = False
    field_major = False

    def __init__(self, settings: WuKongSettings, *, field_count: int, dim: int) -> None:
        super().__init__(settings, field_count=field_count, dim=dim)
        layers = [_Layer(settings, field_count=field_count, dim=dim) for _ in range(settings.num_layers)]
        self.layers = nn.Sequential(*layers)
        self.mlp = perceptron(field_count * dim, settings.mlp_hidden_units, output_dim=1, dropout=0)

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        logits = self.mlp(self.layers(embedded.flatten(1))).squeeze(1)
        return logits if pairs is None else logits + weighted_pairs(embedded, pairs)


class _Layer(nn.Module):
    """(B, FD) to (B, FD): LayerNorm(x + linear([FMB(x), LCB(x)]))."""

    def __init__(self, settings: WuKongSettings, *, field_count: int, dim: int) -> None:
        super().__init__()
        size = field_count * dim
        self.field_count, self.dim = field_count, dim
        self.projection = nn.Parameter(torch.randn(field_count, settings.project_dim))  # (F, R)
        self.fm_norm = nn.LayerNorm(field_count * settings.project_dim)
        self.fm_mlp = perceptron(
            field_count * settings.project_dim, settings.fmb_units, output_dim=settings.fmb_dim, dropout=0
        )
        self.compression = nn.Linear(size, settings.compression_dim)
        self.dropout = nn.Dropout(settings.dropout)
        self.transform = nn.Linear(settings.fmb_dim + settings.compression_dim, size)
        self.norm = nn.LayerNorm(size)

    def forward(self, x: Tensor) -> Tensor:
        embedded = x.view(-1, self.field_count, self.dim)  # (B, F, D)
        products = torch.bmm(embedded, embedded.mT) @ self.projection  # (B, F, R)
        fm = functional.relu(self.fm_mlp(self.fm_norm(products.flatten(1))))
        compressed = self.dropout(self.compression(x))
        return self.norm(x + self.transform(torch.cat([fm, compressed], dim=1)))
