"""The rows of the embedding tables that one batch reads, and sums of gradients per row.

A batch of 4096 rows and 20 fields reads 82k entries of the tables, but only some 17k different ones. Training with the
lazy optimizer takes these out once, as a small table of their own, and the batch points into it; the gradient of the
small table is then a sum over the entries of each row, in the order of a sort that is made once per batch. No array of
the size of the whole table is ever made.

Letters: B rows of the batch, C id slots, N = B C entries, R rows of the whole table, U different ones, D embedding dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llactr.ctr.scaled import ScaledFields

__all__ = ["Lookup", "Segments", "distinct_rows", "factorization_terms", "gather_rows", "segment_sums"]

_PIECE_NUMBERS = 131_072  # half a megabyte of float32


@dataclass(frozen=True)
class Segments:
    """The entries of each row, one after another.

    Attributes:
        order: (N,) int64, positions of entries, sorted by the row they read.
        starts: (U + 1,) int64, where in `order` the entries of each row begin, and N.
    """

    order: Tensor
    starts: Tensor


@dataclass(frozen=True)
class Lookup:
    """Tables, and where a batch reads them.

    Attributes:
        table: (R or U, D) embeddings.
        linear: (R or U,) first-order weights; None where the backbone has none.
        rows: (B, C) int, rows of the tables.
        fields: (R or U,) int, the field of each row.
        segments: of the rows in memory order, for tables of different rows; None for the whole tables.
        field_major: whether that memory order is slot by slot (C, B) instead of (B, C).
    """

    table: Tensor
    linear: Tensor | None
    rows: Tensor
    fields: Tensor
    segments: Segments | None = None
    field_major: bool = False

    @property
    def entries(self) -> Tensor:
        """(N,) the rows in memory order."""
        return (self.rows.t() if self.field_major else self.rows).reshape(-1)


def distinct_rows(entries: Tensor) -> tuple[Tensor, Tensor, Segments]:
    """The different rows among entries: one sort, no memory of the table's size.

    Args:
        entries: (N,) int.

    Returns:
        The rows (U,) in rising order, for each entry its position among them (N,) int32, and the segments.
    """
    values, order = torch.sort(entries, stable=True)
    first = torch.ones_like(values, dtype=torch.bool)
    torch.ne(values[1:], values[:-1], out=first[1:])
    positions = torch.cumsum(first, 0, dtype=torch.int32).sub_(1)
    inverse = torch.empty_like(positions).scatter_(0, order, positions)
    starts = torch.cat([first.nonzero().squeeze(1), order.new_full((1,), len(entries))])
    return values[first], inverse, Segments(order, starts)


def segment_sums(values: Tensor, segments: Segments, *, entries_per_value: int = 1) -> Tensor:
    """Sums of the values of each segment's entries.

    Args:
        values: (N / entries_per_value, D) float; entry n has the value n // entries_per_value.
        segments: (N,) entries in U segments.
        entries_per_value: how many entries in a row share a value.

    Returns:
        (U, D) float.
    """
    order = segments.order if entries_per_value == 1 else segments.order // entries_per_value
    return torch.embedding_bag(values.contiguous(), order, segments.starts, mode=0, include_last_offset=True)[0]


def gather_rows(table: Tensor, entries: Tensor, segments: Segments | None) -> Tensor:
    """Rows of a table, with the gradient by segments where they are known: (U, D) and (N,) to (N, D)."""
    if segments is None:
        return table.index_select(0, entries.long())  # with int32 the gradient takes five times as long
    return _GatherRows.apply(table, entries, segments.order, segments.starts)


def factorization_terms(lookup: Lookup, scaled: ScaledFields | None = None) -> tuple[Tensor, Tensor]:
    """Both terms of a factorization machine, without an array of the size B x C x D in either direction.

    With s the sum of a row's embeddings, sum_{i<j} <e_i, e_j> = (|s|^2 - sum |e_i|^2) / 2, and the gradient of e_i is
    s - e_i: summed over the entries of a table row e, that is (sum of s) - e (number of entries).

    Args:
        lookup: of different rows, entries in row-major order; or of whole tables, where no gradients are wanted.
        scaled: fields without ids, which have no first-order weights here.

    Returns:
        Sum of first-order weights (B,) and sum over pairs (B,).
    """
    assert lookup.linear is not None
    assert not lookup.field_major
    beside, squares = (None, None) if scaled is None else (scaled.total(), scaled.squares())
    segments = lookup.segments
    if segments is None:
        assert not torch.is_grad_enabled()
        first, second = _scored_terms(lookup.table, lookup.linear, lookup.rows, beside)
        return first, second if squares is None else second - squares / 2
    terms: tuple[Tensor, Tensor] = _FactorizationTerms.apply(
        lookup.table,
        lookup.linear,
        lookup.entries,
        segments.order,
        segments.starts,
        lookup.rows.shape[1],
        beside,
        squares,
    )
    return terms


def _scored_terms(table: Tensor, linear: Tensor, rows: Tensor, beside: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both terms, a piece of the batch at a time, so that its embeddings stay in cache and the table is not walked."""
    count, slots = rows.shape
    first, second = linear.new_empty(count), table.new_empty(count)
    size = count if rows.is_cuda else max(1, _PIECE_NUMBERS // (slots * table.shape[1]))
    for start in range(0, count, size):
        piece = rows[start : start + size].reshape(-1)
        embedded = table.index_select(0, piece).view(-1, slots, table.shape[1])  # (b, F, D)
        total, squares = embedded.sum(1), embedded.flatten(1).square_()  # (b, D), (b, FD); `embedded` is overwritten
        stop = start + len(total)
        if beside is not None:
            total = total + beside[start:stop]
        second[start:stop] = (total.square_().sum(1) - squares.sum(1)) / 2
        first[start:stop] = linear.index_select(0, piece).view(-1, slots).sum(1)
    return first, second


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, entries: Tensor, order: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(order, starts)
        ctx.shape = table.shape
        return table.index_select(0, entries)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        order, starts = ctx.saved_tensors
        sums = segment_sums(gradient.reshape(len(gradient), -1), Segments(order, starts))
        return sums.view(ctx.shape), None, None, None


class _FactorizationTerms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        linear: Tensor,
        entries: Tensor,
        order: Tensor,
        starts: Tensor,
        slots: int,
        beside: Tensor | None,
        beside_squares: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        offsets = torch.arange(0, len(entries) + 1, slots, dtype=entries.dtype, device=entries.device)
        total = torch.embedding_bag(table, entries, offsets, mode=0, include_last_offset=True)[0]  # (B, D)
        if beside is not None:
            total = total + beside
        both = torch.stack([linear, table.square().sum(1)], dim=1)  # (U, 2)
        sums = torch.embedding_bag(both, entries, offsets, mode=0, include_last_offset=True)[0]  # (B, 2)
        ctx.save_for_backward(table, total, order, starts)
        ctx.slots = slots
        twice = total.square().sum(1) - sums[:, 1]
        return sums[:, 0].clone(), (twice if beside_squares is None else twice - beside_squares) / 2

    @staticmethod
    def backward(ctx: Any, for_first: Tensor, for_second: Tensor) -> tuple[Tensor | None, ...]:
        table, total, order, starts = ctx.saved_tensors
        dim = table.shape[1]
        values = total.new_empty(len(total), dim + 2)  # (B, D + 2): g s, g, first-order g
        torch.mul(total, for_second.unsqueeze(1), out=values[:, :dim])
        values[:, dim], values[:, dim + 1] = for_second, for_first
        sums = segment_sums(values, Segments(order, starts), entries_per_value=ctx.slots)  # (U, D + 2)
        for_table = torch.addcmul(sums[:, :dim], table, sums[:, dim : dim + 1], value=-1)
        for_beside = values[:, :dim] if ctx.needs_input_grad[6] else None
        for_squares = for_second / -2 if ctx.needs_input_grad[7] else None
        return for_table, sums[:, dim + 1], None, None, None, None, for_beside, for_squares
