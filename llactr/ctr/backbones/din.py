"""DIN: a perceptron over all embeddings, what target attention says of the person's last events among them.

Zhou et al. 2018 (arXiv 1706.06978): the base model is embeddings, concatenated, and fully connected layers (section
4.2); DIN is the base model with the person's interest in the candidate (equation 3) in the place of a fixed sum. The
interest is a `sequence` of the spec's history (`llactr.ctr.attention`), which any other backbone reads as well; without
one this is the base model.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from llactr.ctr.backbones import BACKBONES, BackboneSettings
from llactr.ctr.backbones.base import Backbone
from llactr.ctr.pairs import PairWeights, weighted_pairs
from llactr.ctr.scaled import ScaledFields

__all__ = ["DIN", "DINSettings"]


class DINSettings(BackboneSettings):
    """The perceptron's layers; those of the paper have 200 and 80 units."""

    hidden_units: tuple[int, ...] = Field(default=(200, 80), min_length=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)


@BACKBONES.register("din")
class DIN(Backbone):
    """Fully connected layers with PReLU.

    The paper prefers Dice (section 5.2), which is PReLU whose bend follows the batch's mean and variance; here a row's
    score depends on no other row, in training neither. The last layer carries the bias.
    """

    settings = DINSettings
    training_defaults: ClassVar = {"weight_decay": 1e-3}
    linear = False
    field_major = False
    takes_scaled = True

    def __init__(self, settings: DINSettings, *, field_count: int, dim: int) -> None:
        super().__init__(settings, field_count=field_count, dim=dim)
        layers: list[nn.Module] = []
        width = field_count * dim
        for units in settings.hidden_units:
            layers += [nn.Linear(width, units), nn.PReLU(), nn.Dropout(settings.dropout)]
            width = units
        self.mlp = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        logits: Tensor = self.mlp(embedded.flatten(1)).squeeze(1)
        return logits if pairs is None else logits + weighted_pairs(embedded, pairs)

    def with_scaled(self, embedded: Tensor, scaled: ScaledFields, *, first_order: Tensor | None) -> Tensor:
        """See `Backbone.with_scaled`."""
        first = self.mlp[0]
        assert isinstance(first, nn.Linear)
        logits: Tensor = self.mlp[1:](scaled.linear(embedded, first.weight, first.bias)).squeeze(1)
        return logits
