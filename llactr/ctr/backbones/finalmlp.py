"""FinalMLP: two gated perceptrons over the embeddings, fused by a bilinear form (Mao et al. 2023, equations 5 to 10).

Letters: B rows, F fields, D embedding dim, U and W units of the two perceptrons, H heads.

The gates have no context fields, so each is one vector for all rows: 2 sigmoid(g(b)), computed once per batch. It is
multiplied into the weights of the first layers, which spares two passes over (B, FD), and both first layers are one
product.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from llactr.ctr.backbones import BACKBONES, BackboneSettings
from llactr.ctr.backbones.base import Backbone, perceptron
from llactr.ctr.pairs import PairWeights, weighted_pairs
from llactr.ctr.scaled import ScaledFields

__all__ = ["FinalMLP", "FinalMLPSettings"]


class FinalMLPSettings(BackboneSettings):
    """Two gated perceptrons, fused by a bilinear form with `num_heads` heads."""

    first_hidden_units: tuple[int, ...] = Field(default=(128, 64), min_length=1)
    second_hidden_units: tuple[int, ...] = Field(default=(64, 64), min_length=1)
    gate_hidden_units: tuple[int, ...] = Field(default=(32,), min_length=1)
    num_heads: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> FinalMLPSettings:
        for units in (self.first_hidden_units[-1], self.second_hidden_units[-1]):
            if units % self.num_heads:
                raise ValueError(f"the last hidden layer has {units} units, which {self.num_heads} heads do not divide")
        return self


@BACKBONES.register("finalmlp")
class FinalMLP(Backbone):
    """See the module's text."""

    settings = FinalMLPSettings
    training_defaults: ClassVar = {"weight_decay": 3e-3}
    linear = False
    field_major = False
    takes_scaled = True

    def __init__(self, settings: FinalMLPSettings, *, field_count: int, dim: int) -> None:
        super().__init__(settings, field_count=field_count, dim=dim)
        size = field_count * dim
        self.first = perceptron(size, settings.first_hidden_units, output_dim=None, dropout=settings.dropout)
        self.second = perceptron(size, settings.second_hidden_units, output_dim=None, dropout=settings.dropout)
        self.first_gate = _Gate(settings.gate_hidden_units, dim=dim, size=size)
        self.second_gate = _Gate(settings.gate_hidden_units, dim=dim, size=size)
        self.fusion = _Fusion(
            settings.first_hidden_units[-1], settings.second_hidden_units[-1], num_heads=settings.num_heads
        )

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        weight, bias = self._both_first()
        logits = self._behind(functional.linear(embedded.flatten(1), weight, bias))
        return logits if pairs is None else logits + weighted_pairs(embedded, pairs)

    def with_scaled(self, embedded: Tensor, scaled: ScaledFields, *, first_order: Tensor | None) -> Tensor:
        """See `Backbone.with_scaled`."""
        return self._behind(scaled.linear(embedded, *self._both_first()))

    def _both_first(self) -> tuple[Tensor, Tensor]:
        """Weights (U + W, FD) and bias (U + W,) of both first layers, the gates in them."""
        first, second = self.first[0], self.second[0]
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        weight = torch.cat([first.weight * self.first_gate(), second.weight * self.second_gate()])
        return weight, torch.cat([first.bias, second.bias])

    def _behind(self, both: Tensor) -> Tensor:
        """Logits (B,) of what the first layers say (B, U + W)."""
        first = self.first[0]
        assert isinstance(first, nn.Linear)
        x, y = both.tensor_split([first.out_features], dim=1)
        logits: Tensor = self.fusion(self.first[1:](x), self.second[1:](y))
        return logits


class _Gate(nn.Module):
    """(1, FD) how much of each input a perceptron sees, between 0 and 2."""

    def __init__(self, hidden_units: tuple[int, ...], *, dim: int, size: int) -> None:
        super().__init__()
        self.context = nn.Parameter(torch.zeros(1, dim))
        self.mlp = perceptron(dim, hidden_units, output_dim=size, dropout=0)

    def forward(self) -> Tensor:
        return 2 * torch.sigmoid(self.mlp(self.context))


class _Fusion(nn.Module):
    """bias + w_x x + w_y y + sum over heads of x_h^T W_h y_h: (B, U) and (B, W) to (B,)."""

    def __init__(self, first_units: int, second_units: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.x = nn.Linear(first_units, 1)
        self.y = nn.Linear(second_units, 1)
        self.bilinear = nn.Parameter(torch.empty(num_heads, first_units // num_heads, second_units // num_heads))
        nn.init.xavier_normal_(self.bilinear)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x_heads = x.unflatten(1, (self.num_heads, -1)).transpose(0, 1)  # (H, B, U/H)
        y_heads = y.unflatten(1, (self.num_heads, -1)).transpose(0, 1)  # (H, B, W/H)
        mixed = torch.bmm(x_heads, self.bilinear)  # (H, B, W/H)
        return (self.x(x) + self.y(y)).squeeze(1) + (mixed * y_heads).sum((0, 2))
