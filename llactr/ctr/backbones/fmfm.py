"""Field-matrixed FM: logit = sum w_f + sum_{i<j} e_i^T W_ij e_j (Sun et al. 2021, equation 6; no bias).

Letters: B rows, F fields, D embedding dim, P pairs i<j row by row.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from llactr.ctr.backbones import BACKBONES, BackboneSettings
from llactr.ctr.backbones.base import Backbone
from llactr.ctr.pairs import PairWeights, pair_count, weighted_pairs

__all__ = ["FmFM"]

_GROUPS = 4


@BACKBONES.register("fmfm")
class FmFM(Backbone):
    """All W_ij in one upper block-triangular matrix, multiplied in a few large pieces.

    Fields are taken in four groups; a group is multiplied with itself and all later fields in one product, so 5/8 of
    the full matrix is computed where 1/2 would do, and nothing of the size B x P x D exists. Pair weights of one
    version are added to the diagonals of W_ij at no cost per row. It has no sizes of its own.
    """

    training_defaults: ClassVar = {"weight_decay": 1e-3}
    linear = True
    field_major = False

    def __init__(self, settings: BackboneSettings, *, field_count: int, dim: int) -> None:
        super().__init__(settings, field_count=field_count, dim=dim)
        self.field_count, self.dim = field_count, dim
        self.interaction = nn.Parameter(torch.empty(pair_count(field_count), dim, dim))  # (P, D, D)
        nn.init.xavier_normal_(self.interaction)
        self._pairs: Tensor
        self.register_buffer("_pairs", torch.triu_indices(field_count, field_count, offset=1), persistent=False)

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """See `Backbone.forward`."""
        assert first_order is not None
        interaction: Tensor = self.interaction
        rest = first_order
        if pairs is not None:
            if pairs.version is None:
                identity = torch.eye(self.dim, dtype=interaction.dtype, device=interaction.device)
                interaction = interaction + pairs.vectors[0].view(-1, 1, 1) * identity
            else:
                rest = rest + weighted_pairs(embedded, pairs)
        blocks = interaction.new_zeros(self.field_count, self.field_count, self.dim, self.dim)
        blocks[self._pairs[0], self._pairs[1]] = interaction
        size = self.field_count * self.dim
        matrix = blocks.transpose(1, 2).reshape(size, size)  # (FD, FD)
        return rest + _UpperBilinear.apply(embedded.reshape(-1, size), matrix, self._cuts())

    def _cuts(self) -> tuple[int, ...]:
        """Where groups of fields begin and end, in columns."""
        groups = min(_GROUPS, self.field_count)
        return tuple(self.dim * (self.field_count * group // groups) for group in range(groups + 1))


class _UpperBilinear(torch.autograd.Function):
    """x^T M x for each row, M upper block-triangular: the pieces of the product are written where they belong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, cuts: tuple[int, ...]) -> Tensor:
        right = torch.zeros_like(x)  # (B, FD), x M
        for start, stop in itertools.pairwise(cuts):  # columns of M, rows above and in the block
            torch.mm(x[:, :stop], matrix[:stop, start:stop], out=right[:, start:stop])
        ctx.save_for_backward(x, matrix, right)
        ctx.cuts = cuts
        return (x * right).sum(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, matrix, right = ctx.saved_tensors
        cuts = ctx.cuts
        scaled = x * gradient.unsqueeze(1)  # (B, FD)
        for_matrix = torch.zeros_like(matrix)
        left = torch.empty_like(x)  # (B, FD), scaled M^T
        for start, stop in itertools.pairwise(cuts):
            torch.mm(scaled[:, start:], matrix[start:stop, start:].t(), out=left[:, start:stop])
            torch.mm(x[:, :stop].t(), scaled[:, start:stop], out=for_matrix[:stop, start:stop])
        return left.add_(right * gradient.unsqueeze(1)), for_matrix, None
