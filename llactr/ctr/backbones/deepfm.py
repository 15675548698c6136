"""DeepFM: the logit of FM without bias plus that of a perceptron over all embeddings (Guo et al. 2017, equation 1)."""

from __future__ import annotations

from torch import Tensor

from llactr.ctr.backbones.base import Backbone, perceptron
from llactr.ctr.config import DeepFMSettings
from llactr.ctr.pairs import PairWeights, all_pairs, weighted_pairs

__all__ = ["DeepFM"]


class DeepFM(Backbone):
    """The perceptron's last layer carries the bias."""

    linear = True
    field_major = False

    def __init__(self, settings: DeepFMSettings, *, field_count: int, dim: int) -> None:
        super().__init__()
        self.mlp = perceptron(field_count * dim, settings.hidden_units, output_dim=1, dropout=settings.dropout)

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        assert first_order is not None
        if pairs is None:
            second_order = all_pairs(embedded)
        else:
            second_order = weighted_pairs(embedded, PairWeights(pairs.vectors + 1, pairs.version))
        return first_order + second_order + self.mlp(embedded.flatten(1)).squeeze(1)
