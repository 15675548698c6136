"""Fields whose embedding is a vector times a number, for sums that need no array of such embeddings.

Letters: B rows, E such fields, D embedding dim, U units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ScaledFields"]


@dataclass(frozen=True)
class ScaledFields:
    """E fields of B rows; what is linear in their embeddings is linear in 2 E numbers a row.

    So it costs a product of (B, 2E) with a small matrix, where (B, E, D) embeddings would cost as much as those of
    fields with ids.

    Attributes:
        numbers: (B, 2, E): a field's number, and 1 where it is missing; one of the two is 0.
        vectors: (2, E, D): what each is multiplied with; a field's embedding is the sum of both products.
    """

    numbers: Tensor
    vectors: Tensor

    def embeddings(self) -> Tensor:
        """(B, E, D)."""
        # A product of matrices for each field: (B, 2, E, D) in memory would cost more than all that is made of it.
        return torch.bmm(self.numbers.permute(2, 0, 1), self.vectors.transpose(0, 1)).transpose(0, 1)

    def total(self) -> Tensor:
        """(B, D) sum of a row's embeddings."""
        return self.numbers.flatten(1) @ self.vectors.flatten(0, 1)

    def squares(self) -> Tensor:
        """(B,) sum of the squared lengths of a row's embeddings: one of a field's two numbers is 0."""
        return self.numbers.flatten(1).square() @ self.vectors.square().sum(2).flatten()

    def through(self, weight: Tensor) -> Tensor:
        """(B, U) what a linear layer with weights (U, E D) makes of the embeddings, one field after the other."""
        by_field = weight.unflatten(1, self.vectors.shape[1:]).permute(1, 2, 0)  # (E, D, U)
        products = torch.bmm(self.vectors.transpose(0, 1), by_field)  # (E, 2, U)
        return self.numbers.transpose(1, 2).flatten(1) @ products.flatten(0, 1)

    def linear(self, embedded: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, U) what a linear layer makes of embeddings (B, F, D) and those of these fields behind them.

        Args:
            embedded: of other fields.
            weight: (U, (F + E) D).
            bias: (U,).
        """
        flat = embedded.flatten(1)  # (B, FD)
        before, behind = weight.tensor_split([flat.shape[1]], dim=1)
        return functional.linear(flat, before, bias) + self.through(behind)
