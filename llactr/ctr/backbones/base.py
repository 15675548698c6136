"""What every backbone is: embeddings in, one logit per row out.

Letters: B rows, F fields, D embedding dim, P pairs of fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from llactr.ctr.backbones._settings import BackboneSettings
from llactr.ctr.lookup import Lookup
from llactr.ctr.pairs import PairWeights
from llactr.ctr.scaled import ScaledFields

__all__ = ["Backbone", "perceptron"]


class Backbone(nn.Module):
    """A CTR model without its embedding table, made with its settings.

    Attributes:
        settings: its sizes; what a configuration's `settings` are read with.
        training_defaults: what differs for it from the defaults of `TrainConfig`.
        linear: whether it wants first-order weights.
        field_major: how it wants the embeddings to lie in memory: field by field, or row by row.
        reads_tables: whether it has `from_tables`.
        takes_scaled: whether it has `with_scaled`, and a `from_tables` that takes such fields.
    """

    settings: ClassVar[type[BackboneSettings]] = BackboneSettings
    training_defaults: ClassVar[Mapping[str, Any]] = {}
    linear: ClassVar[bool]
    field_major: ClassVar[bool] = False
    reads_tables: ClassVar[bool] = False
    takes_scaled: ClassVar[bool] = False

    def __init__(self, settings: BackboneSettings, *, field_count: int, dim: int) -> None:
        super().__init__()

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """Logits of a batch.

        Args:
            embedded: (B, F, D) the fields' embeddings.
            first_order: (B,) sum of first-order weights; None where `linear` is False.
            pairs: weights of field pairs whose sum over <e_i, e_j> is added to the logit; None for none. A backbone
                that has a sum over pairs already takes them into it.

        Returns:
            (B,) logits.
        """
        raise NotImplementedError

    def with_scaled(self, embedded: Tensor, scaled: ScaledFields, *, first_order: Tensor | None) -> Tensor:
        """Logits of a batch with fields whose embedding is a vector times a number, as history's.

        Called where `takes_scaled` and there are no pair weights. Equals `forward` with the embeddings of `scaled`
        after the others, up to rounding.

        Args:
            embedded: (B, F, D) the embeddings of fields with ids.
            scaled: the other fields.
            first_order: as in `forward`.

        Returns:
            (B,) logits.
        """
        raise NotImplementedError

    def from_tables(self, lookup: Lookup, *, scaled: ScaledFields | None = None) -> Tensor:
        """Logits of a batch straight from the tables, for a backbone that needs no (B, F, D) array of embeddings.

        Called where `reads_tables`, every field has one value, there are no pair weights, and either the lookup is of
        different rows or no gradients are wanted. Equals `forward` up to rounding.

        Args:
            lookup: the tables, and the batch's rows (B, F) of them.
            scaled: fields after those, where there are any; given only where `takes_scaled`.

        Returns:
            (B,) logits.
        """
        raise NotImplementedError


def perceptron(
    input_dim: int, hidden_units: tuple[int, ...], *, output_dim: int | None, dropout: float
) -> nn.Sequential:
    """Linear, ReLU and dropout for each hidden layer, then a linear layer to `output_dim` unless it is None."""
    layers: list[nn.Module] = []
    for units in hidden_units:
        layers += [nn.Linear(input_dim, units), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        input_dim = units
    if output_dim is not None:
        layers.append(nn.Linear(input_dim, output_dim))
    return nn.Sequential(*layers)
