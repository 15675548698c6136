"""Sums over pairs of fields: what FM, FwFM and the interaction enhancement have in common.

Letters: B rows, F fields, P = F(F-1)/2 pairs i<j row by row, D embedding dim, V versions.

Embeddings have the shape (B, F, D); their memory may lie field by field (F outermost), which is what these sums like
best: with it, a weighted sum over pairs is one F x F matrix times one F x BD matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["PairWeights", "all_pairs", "pair_count", "pair_matrix", "weighted_pairs"]


@dataclass(frozen=True)
class PairWeights:
    """Weights of the pairs of fields, for one version or for each row's version.

    Args:
        vectors: (V, P) float, the weights of pairs i<j, of each version.
        version: (B,) int, the version of each row; None when V is 1.
    """

    vectors: Tensor
    version: Tensor | None = None


def pair_count(field_count: int) -> int:
    """P, the number of pairs among F fields."""
    return field_count * (field_count - 1) // 2


def pair_matrix(vectors: Tensor, *, field_count: int) -> Tensor:
    """Symmetric matrices with zero diagonals from the weights of pairs: (..., P) to (..., F, F)."""
    first, second = torch.triu_indices(field_count, field_count, offset=1, device=vectors.device)
    matrix = vectors.new_zeros((*vectors.shape[:-1], field_count, field_count))
    matrix[..., first, second] = vectors
    return matrix + matrix.mT


def all_pairs(embedded: Tensor) -> Tensor:
    """Sum over i<j of <e_i, e_j>, as (|sum e|^2 - sum |e|^2) / 2: (B, F, D) to (B,)."""
    return _AllPairs.apply(embedded)


def weighted_pairs(embedded: Tensor, weights: PairWeights) -> Tensor:
    """Sum over i<j of w_ij <e_i, e_j>: (B, F, D) to (B,).

    One matrix product over all rows when there is one version; with several, one small product per row.
    """
    matrices = pair_matrix(weights.vectors, field_count=embedded.shape[1])  # (V, F, F)
    if weights.version is None:
        return _WeightedPairs.apply(embedded, matrices[0])
    mixed = torch.bmm(matrices.index_select(0, weights.version), embedded)  # (B, F, D)
    return (embedded * mixed).sum((1, 2)) / 2


class _AllPairs(torch.autograd.Function):
    """Spares autograd's five passes over (B, F, D): the gradient of e_i is sum e - e_i."""

    @staticmethod
    def forward(ctx: Any, embedded: Tensor) -> Tensor:
        total = embedded.sum(1)  # (B, D)
        ctx.save_for_backward(embedded, total)
        squares = embedded.square()  # (B, F, D)
        return (total.square() - squares.sum(1)).sum(1) / 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        embedded, total = ctx.saved_tensors
        return (total.unsqueeze(1) - embedded).mul_(gradient.view(-1, 1, 1))


class _WeightedPairs(torch.autograd.Function):
    """e^T S e / 2 for each row, S symmetric: the product S e is kept, for it is the gradient of e."""

    @staticmethod
    def forward(ctx: Any, embedded: Tensor, matrix: Tensor) -> Tensor:
        rows, fields, dim = embedded.shape
        by_field = embedded.transpose(0, 1).contiguous().view(fields, rows * dim)  # (F, BD)
        mixed = torch.mm(matrix, by_field)  # (F, BD)
        ctx.save_for_backward(by_field, mixed)
        return (by_field * mixed).sum(0).view(rows, dim).sum(1) / 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        by_field, mixed = ctx.saved_tensors
        fields, rows = by_field.shape[0], gradient.shape[0]
        scale = gradient.view(1, rows, 1)
        for_embedded = for_matrix = None
        if ctx.needs_input_grad[0]:
            for_embedded = (mixed.view(fields, rows, -1) * scale).transpose(0, 1)
        if ctx.needs_input_grad[1]:
            scaled = (by_field.view(fields, rows, -1) * scale).view(fields, -1)
            for_matrix = torch.mm(scaled, by_field.t()) / 2
        return for_embedded, for_matrix
