"""Field-weighted FM: logit = bias + sum_k <u_k, e_k> + sum_{i<j} r_ij <e_i, e_j> (Pan et al. 2018, FiLV)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from llactr.ctr.backbones import BACKBONES, BackboneSettings
from llactr.ctr.backbones.base import Backbone
from llactr.ctr.pairs import PairWeights, pair_count, weighted_pairs

__all__ = ["FwFM"]


@BACKBONES.register("fwfm")
class FwFM(Backbone):
    """One symmetric F x F matrix times the embeddings; further pair weights are added to r at no cost.

    It has no sizes of its own.
    """

    training_defaults: ClassVar = {"weight_decay": 1e-6}
    linear = False
    field_major = True

    def __init__(self, settings: BackboneSettings, *, field_count: int, dim: int) -> None:
        super().__init__(settings, field_count=field_count, dim=dim)
        second = nn.Linear(pair_count(field_count), 1)  # its initialisation is the reference's
        self.pair_weight = nn.Parameter(second.weight.detach()[0].clone())  # (P,)
        self.bias = nn.Parameter(second.bias.detach()[0].clone())
        linear = nn.Linear(field_count * dim, 1).weight.detach()
        self.linear_weight = nn.Parameter(linear.view(field_count, 1, dim).clone())

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        weights = self.pair_weight.unsqueeze(0)
        weights, version = (weights, None) if pairs is None else (weights + pairs.vectors, pairs.version)
        linear = self.linear_weight.squeeze(1)  # (F, D)
        return weighted_pairs(embedded, PairWeights(weights, version), linear=linear) + self.bias
