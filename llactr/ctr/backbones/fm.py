"""Factorization machine: logit = bias + sum w_f + sum_{i<j} <e_i, e_j> (Rendle 2010, equation 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llactr.ctr.backbones.base import Backbone
from llactr.ctr.pairs import PairWeights, all_pairs, weighted_pairs

__all__ = ["FM"]


class FM(Backbone):
    """One pass over the embeddings (sum and square); with pair weights w, one product with 1 + w."""

    linear = True
    field_major = True

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        assert first_order is not None
        if pairs is None:
            second_order = all_pairs(embedded)
        else:
            second_order = weighted_pairs(embedded, PairWeights(pairs.vectors + 1, pairs.version))
        return self.of_terms(first_order, second_order)

    def of_terms(self, first_order: Tensor, second_order: Tensor) -> Tensor:
        """Logits (B,) from both sums, each (B,)."""
        return first_order + second_order + self.bias
