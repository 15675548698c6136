"""Sums over pairs of fields: what FM, FwFM and the interaction enhancement have in common.

Letters: B rows, F fields, P = F(F-1)/2 pairs i<j row by row, D embedding dim, V versions.

Embeddings have the shape (B, F, D); their memory may lie field by field (F outermost), which is what these sums like
best: with it, a weighted sum over pairs is one F x F matrix times one F x BD matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llactr.ctr.scaled import ScaledFields

__all__ = ["PairWeights", "all_pairs", "pair_count", "pair_matrix", "weighted_pairs", "widened"]

_PIECE_NUMBERS = 131_072  # half a megabyte of float32


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


def widened(vectors: Tensor, *, field_count: int, wanted: int) -> Tensor:
    """Weights of pairs of the first F of more fields, 0 for all other pairs: (..., P) to (..., P')."""
    first, second = torch.triu_indices(wanted, wanted, offset=1, device=vectors.device)
    inside = (first < field_count) & (second < field_count)
    found = vectors.new_zeros((*vectors.shape[:-1], len(first)))
    found[..., inside] = vectors
    return found


def all_pairs(embedded: Tensor, scaled: ScaledFields | None = None) -> Tensor:
    """Sum over i<j of <e_i, e_j>, as (|sum e|^2 - sum |e|^2) / 2: (B, F, D), and fields beside those, to (B,)."""
    if scaled is None:
        return _AllPairs.apply(embedded, None, None)
    return _AllPairs.apply(embedded, scaled.total(), scaled.squares())


def weighted_pairs(embedded: Tensor, weights: PairWeights, *, linear: Tensor | None = None) -> Tensor:
    """Sum over i<j of w_ij <e_i, e_j>, and over i of <u_i, e_i>: (B, F, D) to (B,).

    One matrix product over all rows when there is one version; with several, one small product per row.

    Args:
        embedded: (B, F, D).
        weights: the w.
        linear: (F, D) the u; None for zeros.
    """
    matrices = pair_matrix(weights.vectors, field_count=embedded.shape[1])  # (V, F, F)
    if weights.version is None and not torch.compiler.is_exporting():  # which cannot follow the pieces
        return _WeightedPairs.apply(embedded, matrices[0], linear)
    chosen = matrices[0] if weights.version is None else matrices.index_select(0, weights.version)
    mixed = chosen @ embedded  # (B, F, D)
    if linear is not None:
        mixed = mixed + 2 * linear
    return (embedded * mixed).sum((1, 2)) / 2


class _AllPairs(torch.autograd.Function):
    """Spares autograd's five passes over (B, F, D): the gradient of e_i is sum e - e_i."""

    @staticmethod
    def forward(ctx: Any, embedded: Tensor, beside: Tensor | None, beside_squares: Tensor | None) -> Tensor:
        total = embedded.sum(1)  # (B, D)
        if beside is not None:
            total = total + beside
        ctx.save_for_backward(embedded, total)
        squares = embedded.square()  # (B, F, D)
        twice = (total.square() - squares.sum(1)).sum(1)
        return (twice if beside_squares is None else twice - beside_squares) / 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        embedded, total = ctx.saved_tensors
        for_embedded = (total.unsqueeze(1) - embedded).mul_(gradient.view(-1, 1, 1))
        for_beside = total * gradient.unsqueeze(1) if ctx.needs_input_grad[1] else None
        return for_embedded, for_beside, gradient / -2 if ctx.needs_input_grad[2] else None


class _WeightedPairs(torch.autograd.Function):
    """e^T S e / 2 + <u, e> for each row, S symmetric, a piece of the batch at a time, so that a piece stays in cache.

    The gradient of e is S e + u; S e is computed again rather than kept.
    """

    @staticmethod
    def forward(ctx: Any, embedded: Tensor, matrix: Tensor, linear: Tensor | None) -> Tensor:
        rows, fields, dim = embedded.shape
        ctx.save_for_backward(embedded, matrix, linear)
        logits = embedded.new_empty(rows)
        for start, stop in _pieces(embedded):
            piece = _by_field(embedded[start:stop])  # (F, bD)
            mixed = torch.mm(matrix, piece)
            if linear is not None:
                mixed.view(fields, -1, dim).add_(linear.unsqueeze(1), alpha=2)
            torch.sum(mixed.mul_(piece).sum(0).view(-1, dim), 1, out=logits[start:stop])
        return logits.div_(2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        embedded, matrix, linear = ctx.saved_tensors
        _, fields, dim = embedded.shape
        for_embedded = torch.empty_like(embedded) if ctx.needs_input_grad[0] else None
        for_matrix = torch.zeros_like(matrix) if ctx.needs_input_grad[1] else None
        for_linear = None if linear is None else torch.zeros_like(linear)
        for start, stop in _pieces(embedded):
            piece, scale = _by_field(embedded[start:stop]), gradient[start:stop].view(1, -1, 1)
            if for_embedded is not None:
                mixed = torch.mm(matrix, piece).view(fields, -1, dim)
                if linear is not None:
                    mixed.add_(linear.unsqueeze(1))
                torch.mul(mixed, scale, out=for_embedded[start:stop].transpose(0, 1))
            if for_matrix is not None or for_linear is not None:
                scaled = piece.view(fields, -1, dim) * scale  # (F, b, D)
                if for_linear is not None:
                    for_linear.add_(scaled.sum(1))
                if for_matrix is not None:
                    for_matrix.addmm_(scaled.view(fields, -1), piece.t(), alpha=0.5)
        return for_embedded, for_matrix, for_linear


def _by_field(embedded: Tensor) -> Tensor:
    """(b, F, D) to (F, bD): a view where the memory lies field by field, a copy in cache where it does not."""
    return embedded.transpose(0, 1).reshape(embedded.shape[1], -1)


def _pieces(embedded: Tensor) -> Iterator[tuple[int, int]]:
    """Where pieces of the batch begin and end: as many rows as fit the cache on a CPU, all of them on a GPU."""
    rows, fields, dim = embedded.shape
    size = rows if embedded.is_cuda else max(1, _PIECE_NUMBERS // (fields * dim))
    for start in range(0, rows, size):
        yield start, min(start + size, rows)
