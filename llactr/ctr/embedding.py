"""One table for all fields: a row of numbers per feature, and a weight per feature.

Letters: B rows, C id slots, F fields, R rows of the fused table, D embedding dim.

The fields' tables lie one below the other; an id of field k is row `offsets[k] + id`. Every reader takes a `Lookup`, so
the table in use may be the parameter itself, be made from it (see `FusedEmbedding.table`), or be the rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from llactr.ctr.lookup import Lookup, distinct_rows, gather_rows

if TYPE_CHECKING:
    from llactr.transforms import FieldLayout

__all__ = ["FusedEmbedding"]

_PAD, _OOV = 0, 1


class FusedEmbedding(nn.Module):
    """The embeddings of all fields, and their first-order weights if the backbone has them.

    A field's embedding is the row of its id; that of a multi-valued field is the mean over its slots that are not
    padding (zeros when all are).
    """

    def __init__(self, layout: FieldLayout, *, dim: int, init_std: float, linear: bool) -> None:
        super().__init__()
        self.field_count = int(layout.field_count)
        self.slot_count = int(layout.slot_count)
        rows = int(layout.total_rows)
        self.weight = nn.Parameter(torch.empty(rows, dim).normal_(std=init_std))  # (R, D)
        self.linear = nn.Parameter(torch.zeros(rows)) if linear else None  # (R,)
        slot_fields = np.asarray(layout.slot_fields, dtype=np.int64)
        slots = np.asarray(layout.slots, dtype=np.int64)
        offsets = np.asarray(layout.offsets, dtype=np.int64)
        sizes = np.asarray(layout.vocab_sizes, dtype=np.int64)
        self.multi_valued = bool((slots > 1).any())
        self._slot_offsets: Tensor
        self._slot_fields: Tensor
        self._slot_multi: Tensor
        self.row_fields: Tensor
        self.register_buffer("_slot_offsets", torch.from_numpy(offsets[slot_fields].astype(np.int32)), persistent=False)
        self.register_buffer("_slot_fields", torch.from_numpy(slot_fields), persistent=False)
        self.register_buffer("_slot_multi", torch.from_numpy(slots[slot_fields] > 1), persistent=False)
        self.register_buffer("row_fields", torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)), persistent=False)

    @property
    def row_count(self) -> int:
        """R, the rows of the fused table."""
        return self.weight.shape[0]

    def table(self) -> Tensor:
        """(R, D) the table in use. A function of the parameters: an embedding made from more overrides it."""
        return self.weight

    def linear_table(self) -> Tensor | None:
        """(R,) the first-order weights in use."""
        return self.linear

    def row_ids(self, ids: Tensor) -> Tensor:
        """(B, C) local ids to (B, C) rows of the fused table, int32."""
        return ids + self._slot_offsets

    def stand_ins(self, field: int, ids: Tensor) -> Tensor:
        """(B,) local ids that stand in for a field's values (B,), as if these had never been seen: that of OOV."""
        return torch.full_like(ids, _OOV)

    def lookup(self, ids: Tensor) -> Lookup:
        """Where a batch of local ids (B, C) reads the whole tables."""
        return Lookup(self.table(), self.linear_table(), self.row_ids(ids), self.row_fields)

    def distinct_lookup(
        self, ids: Tensor, fetch: Callable[[Tensor], Sequence[Tensor]], *, field_major: bool
    ) -> tuple[Tensor, list[Tensor], Lookup]:
        """Where a batch reads a table of its different rows, which is made for it and can take gradients.

        Args:
            ids: (B, C) local ids.
            fetch: from (U,) rows to the parameters' values there: embeddings (U, D), first-order weights (U,) if any.
            field_major: the order in which `embed` will be asked for.

        Returns:
            The rows (U,), what `fetch` gave for them, ready to take gradients, and the lookup.
        """
        rows = self.row_ids(ids)
        distinct, inverse, segments = distinct_rows((rows.t() if field_major else rows).reshape(-1))
        stored = self.stored_rows(distinct)
        leaves = [values.requires_grad_() for values in fetch(stored)]
        table, linear = self.rows_in_use(distinct, leaves)
        positions = inverse.view(rows.shape[1], -1).t() if field_major else inverse.view(rows.shape)
        fields = self.row_fields.index_select(0, stored)
        return distinct, leaves, Lookup(table, linear, positions, fields, segments, field_major)

    def stored_rows(self, rows: Tensor) -> Tensor:
        """(U,) rows of the parameters that a batch's different rows (U,) are made from: themselves."""
        return rows

    def rows_in_use(self, rows: Tensor, values: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """`table()` and `linear_table()` at some rows, from the parameters' values there.

        Args:
            rows: (U,) int, rising.
            values: embeddings (U, D), and first-order weights (U,) if any.
        """
        return values[0], values[1] if len(values) > 1 else None

    def embed(self, lookup: Lookup, *, ids: Tensor, field_major: bool) -> Tensor:
        """The fields' embeddings.

        Args:
            lookup: the table in use, and the batch's rows of it.
            ids: (B, C) local ids, which tell padding.
            field_major: let the memory lie field by field; for a lookup of different rows, as that was made.

        Returns:
            (B, F, D) float.
        """
        table, rows = lookup.table, lookup.rows
        batch = rows.shape[0]
        if self.multi_valued:
            flat, bags, weights, count = self._bags(rows, ids, field_major=field_major)
            embedded = _PooledRows.apply(table, flat, bags, weights, count)
        else:
            entries = (rows.t() if field_major else rows).reshape(-1)
            embedded = gather_rows(table, entries, lookup.segments)
        if field_major:
            return embedded.view(self.field_count, batch, -1).transpose(0, 1)
        return embedded.view(batch, self.field_count, -1)

    def first_order(self, lookup: Lookup, *, ids: Tensor) -> Tensor:
        """(B,) sum over fields of the first-order weight, multi-valued fields by their mean."""
        assert lookup.linear is not None
        rows, field_major = lookup.rows, lookup.field_major
        values = gather_rows(lookup.linear, lookup.entries, lookup.segments)  # (N,)
        values = values.view(rows.shape[1], -1).t() if field_major else values.view(rows.shape)  # (B, C)
        if self.multi_valued:
            values = values * self._slot_weights(ids)
        return values.sum(1)

    def single_valued_rows(self, rows: Tensor) -> Tensor:
        """(B, C') the rows of the fields that have one value."""
        return rows[:, ~self._slot_multi] if self.multi_valued else rows

    def multi_valued_fields(self) -> list[int]:
        """Positions of the multi-valued fields."""
        return sorted(set(self._slot_fields[self._slot_multi].tolist()))

    def _slot_weights(self, ids: Tensor) -> Tensor:
        """(B, C) 1 for single-valued slots; 1 / (values present) for multi-valued ones, 0 for padding."""
        present = ((ids != _PAD) | ~self._slot_multi).to(self.weight.dtype)  # (B, C)
        counts = present.new_zeros(ids.shape[0], self.field_count).index_add_(1, self._slot_fields, present)  # (B, F)
        return present / counts.clamp_(min=1).index_select(1, self._slot_fields)

    def _bags(self, rows: Tensor, ids: Tensor, *, field_major: bool) -> tuple[Tensor, Tensor, Tensor, int]:
        """The slots that are not padding, sorted by bag; a bag is one field of one row, in the order of the output."""
        batch = rows.shape[0]
        weights = self._slot_weights(ids)  # (B, C)
        row, slot = weights.nonzero(as_tuple=True)
        field = self._slot_fields[slot]
        bags = field * batch + row if field_major else row * self.field_count + field
        flat, kept = rows[row, slot], weights[row, slot]
        if field_major:
            bags, order = torch.sort(bags, stable=True)
            flat, kept = flat[order], kept[order]
        return flat, bags, kept, batch * self.field_count


class _PooledRows(torch.autograd.Function):
    """Weighted sums of table rows per bag; memory is bags x D, whatever the number of slots."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, bags: Tensor, weights: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(rows, bags, weights)
        ctx.row_count = table.shape[0]
        starts = torch.searchsorted(bags, torch.arange(count, device=bags.device), out_int32=rows.dtype == torch.int32)
        return torch.embedding_bag(table, rows, starts, mode=0, per_sample_weights=weights)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        rows, bags, weights = ctx.saved_tensors
        per_slot = gradient.index_select(0, bags).mul_(weights.unsqueeze(1))
        table_gradient = gradient.new_zeros(ctx.row_count, gradient.shape[1]).index_add_(0, rows.long(), per_slot)
        return table_gradient, None, None, None, None
