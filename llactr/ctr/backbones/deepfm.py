"""DeepFM: the logit of FM without bias plus that of a perceptron over all embeddings (Guo et al. 2017, equation 1)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from llactr.ctr.backbones import BACKBONES, BackboneSettings
from llactr.ctr.backbones.base import Backbone, perceptron
from llactr.ctr.pairs import PairWeights, all_pairs, weighted_pairs
from llactr.ctr.scaled import ScaledFields

__all__ = ["DeepFM", "DeepFMSettings"]


class DeepFMSettings(BackboneSettings):
    """The perceptron's layers."""

    hidden_units: tuple[int, ...] = Field(default=(128, 64), min_length=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)


@BACKBONES.register("deepfm")
class DeepFM(Backbone):
    """The perceptron's last layer carries the bias."""

    settings = DeepFMSettings
    training_defaults: ClassVar = {"weight_decay": 1e-3}
    linear = True
    field_major = False
    takes_scaled = True

    def __init__(self, settings: DeepFMSettings, *, field_count: int, dim: int) -> None:
        super().__init__(settings, field_count=field_count, dim=dim)
        self.mlp = perceptron(field_count * dim, settings.hidden_units, output_dim=1, dropout=settings.dropout)

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        assert first_order is not None
        if pairs is None:
            second_order = all_pairs(embedded)
        else:
            second_order = weighted_pairs(embedded, PairWeights(pairs.vectors + 1, pairs.version))
        return first_order + second_order + self.mlp(embedded.flatten(1)).squeeze(1)

    def with_scaled(self, embedded: Tensor, scaled: ScaledFields, *, first_order: Tensor | None) -> Tensor:
        """See `Backbone.with_scaled`."""
        assert first_order is not None
        first = self.mlp[0]
        assert isinstance(first, nn.Linear)
        hidden = scaled.linear(embedded, first.weight, first.bias)
        return first_order + all_pairs(embedded, scaled) + self.mlp[1:](hidden).squeeze(1)
