"""Value vectors in the embedding: what the language model says of a value counts the more, the rarer it was seen.

T_f = [n_f>0] E_f + [n_f=0] E_oov(k) + tau / (n_f + tau) * z_f P_k, and the first-order weight gets z_f q_k likewise.
z_f is the value's vector after its field's PCA; n_f how often training rows hold the value. All values of the
vocabulary have n_f > 0, so E_oov is used for unseen values only (see `llactr.ctr.values.unseen`). After training T is
folded into a plain table: scoring known values costs what it costs without value vectors.

Letters: R rows of the fused table, D embedding dim, V_k rows of field k's table, r_k numbers of z in field k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.ctr.config import ValuesConfig
from llactr.ctr.embedding import FusedEmbedding
from llactr.ctr.values.pca import FieldPca, fit_pca
from llactr.ctr.values.unseen_rows import UnseenRows
from llactr.errors import DataError
from llactr.semantics.values import ValueVectors
from llactr.transforms import FIRST, OOV

if TYPE_CHECKING:
    from llactr.transforms import FieldLayout, Transform

__all__ = ["FieldValues", "ValueEmbedding", "ValueTables"]


@dataclass(frozen=True)
class FieldValues:
    """What training needs of one field.

    Attributes:
        name: the field.
        start, stop: its rows of the fused table.
        z: (V_k, r_k) float32, z of each local id; zeros where there is no vector.
        gated: (V_k, r_k) float32, tau / (n + tau) * z.
        pca: made z.
        unseen: (U_k, r_k) float32, z of values out of vocabulary, which have rows of their own behind the table.
        place_of: (places of `UnseenRows`,) int64, which of the U_k a value is; -1 without a vector.
    """

    name: str
    start: int
    stop: int
    z: Tensor
    gated: Tensor
    pca: FieldPca
    unseen: Tensor
    place_of: NDArray[np.int64]


@dataclass(frozen=True)
class ValueTables:
    """The gated z of all text fields, fitted on the training values of one transform."""

    version: str
    encoder: str
    config: ValuesConfig
    fields: tuple[FieldValues, ...]

    @classmethod
    def fit(
        cls,
        transform: Transform,
        vectors: ValueVectors,
        config: ValuesConfig,
        unseen: Mapping[str, UnseenRows] | None = None,
        pcas: Mapping[str, FieldPca] | None = None,
    ) -> ValueTables:
        """Fits one PCA per field on its training values, and gates z by their counts.

        Args:
            transform: fitted on the training rows.
            vectors: of training values, and of those unseen ones that rows hold.
            config: tau and rank.
            unseen: values out of vocabulary that get rows, so that validation scores them as serving will.
            pcas: field -> a PCA of before, which is kept; other fields are left out then.

        Raises:
            DataError: no value of the vocabulary has a vector.
        """
        layout = transform.layout
        fields = []
        for name, found in vectors.fields.items():
            if name not in layout.names or (pcas is not None and name not in pcas):
                continue
            index = layout.names.index(name)
            row_of = {value: row for row, value in enumerate(found.values)}
            place = [(FIRST + i, row_of[v]) for i, v in enumerate(transform.values(name)) if v in row_of]
            if len(place) < 2 and pcas is None:
                continue
            ids, rows = map(list, zip(*place, strict=True))
            pca = fit_pca(found.vectors[rows], rank=config.rank) if pcas is None else pcas[name]
            z = torch.zeros(layout.vocab_sizes[index], pca.rank)
            z[ids] = torch.from_numpy(pca.project(found.vectors[rows]))
            counts = torch.from_numpy(transform.counts[index]).to(torch.float32)
            gated = z * (config.tau / (counts + config.tau))[:, None]
            start, stop = int(layout.offsets[index]), int(layout.offsets[index]) + layout.vocab_sizes[index]
            new = unseen[name].values if unseen and name in unseen else ()
            with_vector = [value for value in new if value in row_of]
            number_of = {value: number for number, value in enumerate(with_vector)}
            unseen_z = torch.from_numpy(pca.project(found.vectors[[row_of[value] for value in with_vector]]))
            place_of = np.array([number_of.get(value, -1) for value in new], np.int64)
            fields.append(FieldValues(name, start, stop, z, gated, pca, unseen_z, place_of))
        if not fields:
            raise DataError(
                f"value vectors of version {vectors.version} hold none of the training values: "
                "run 'llactr encode --values', or give fields a value_text in the spec"
            )
        return cls(vectors.version, vectors.encoder, config, tuple(fields))

    def ids(
        self,
        ids: NDArray[np.int32],
        unseen: Mapping[str, UnseenRows],
        layout: FieldLayout,
        *,
        training: NDArray[np.int64],
    ) -> NDArray[np.int32]:
        """The ids with unseen values in the place of OOV: local ids that lead to rows behind the table.

        Args:
            ids: (N, C) local ids; not changed.
            unseen: the rows that `fit` was given.
            layout: of the ids.
            training: rows that keep their ids: a value too rare for the vocabulary trains the row of OOV.
        """
        ids = ids.copy()
        trained_on = np.zeros(len(ids), np.bool_)
        trained_on[training] = True
        first = layout.total_rows
        for field in self.fields:
            index = layout.names.index(field.name)
            start = int(layout.slot_starts[index])
            rows = unseen[field.name].rows if field.name in unseen else np.empty(0, np.int64)
            if len(rows):
                numbers = field.place_of[unseen[field.name].places]
                placed = (numbers >= 0) & ~trained_on[rows]
                rows, numbers = rows[placed], numbers[placed]
                slots = ids[rows, start : start + layout.slots[index]]  # (M, S), a copy
                column = (slots == OOV).argmax(axis=1)
                ids[rows, start + column] = first + numbers - int(layout.offsets[index])
            first += len(field.unseen)
        return ids


class ValueEmbedding(FusedEmbedding):
    """The fused table with value vectors added; `projections` are the P_k, `linear_projections` the q_k."""

    def __init__(self, layout: FieldLayout, values: ValueTables, *, dim: int, init_std: float, linear: bool) -> None:
        super().__init__(layout, dim=dim, init_std=init_std, linear=linear)
        self.values = values
        self._total_rows = int(layout.total_rows)
        sizes = [field.stop - field.start for field in values.fields]
        starts = layout.total_rows + np.cumsum([0, *sizes[:-1]])
        self.has_stand_ins = False  # whether training's table holds E_oov + z P of every known value: see `stand_ins`
        self._stand_ins = {
            index: int(start) - int(layout.offsets[index])
            for field, start in zip(values.fields, starts, strict=True)
            for index in [layout.names.index(field.name)]
        }
        ranks = [field.gated.shape[1] for field in values.fields]
        std = values.config.init_std
        self.projections = nn.ParameterList([nn.Parameter(torch.empty(r, dim).normal_(std=std)) for r in ranks])
        self.linear_projections = nn.ParameterList([nn.Parameter(torch.zeros(r, 1)) for r in ranks if linear])
        for number, field in enumerate(values.fields):
            self.register_buffer(f"_gated_{number}", field.gated, persistent=False)
            self.register_buffer(f"_unseen_{number}", field.unseen, persistent=False)
            self.register_buffer(f"_z_{number}", field.z, persistent=False)

    def table(self) -> Tensor:
        """(R + U, D) E + gated z P, and E_oov + z P of unseen values behind it.

        Costs one copy of the table and (V_k + U_k) x r_k x D multiplications a field.
        """
        known = _AddValues.apply(self.weight, self._blocks(), *self.projections)
        return torch.cat([known, *self._unseen_rows(self.weight, self.projections)])

    def linear_table(self) -> Tensor | None:
        """(R + U,) the first-order weights, z q included."""
        if self.linear is None:
            return None
        weight = self.linear.unsqueeze(1)
        known = _AddValues.apply(weight, self._blocks(), *self.linear_projections)
        return torch.cat([known, *self._unseen_rows(weight, self.linear_projections)]).squeeze(1)

    def stand_ins(self, field: int, ids: Tensor) -> Tensor:
        """See `FusedEmbedding.stand_ins`: those of E_oov + z P, which lie behind the table (`has_stand_ins`)."""
        return ids + self._stand_ins[field] if field in self._stand_ins else super().stand_ins(field, ids)

    def _unseen_rows(self, weight: Tensor, projections: nn.ParameterList) -> list[Tensor]:
        """E_oov + z P: in training of all known values, where these are asked for; else of unseen ones."""
        if self.training and not self.has_stand_ins:
            return []
        kind = "z" if self.training else "unseen"
        return [
            weight[field.start + OOV] + self.get_buffer(f"_{kind}_{number}") @ projection
            for number, (field, projection) in enumerate(zip(self.values.fields, projections, strict=True))
        ]

    def stored_rows(self, rows: Tensor) -> Tensor:
        """See `FusedEmbedding.stored_rows`: an unseen value's row, behind the table, is made from its field's OOV."""
        for (start, stop, _), field in zip(self._unseen_blocks(), self.values.fields, strict=True):
            rows = torch.where((rows >= start) & (rows < stop), field.start + OOV, rows)
        return rows

    def rows_in_use(self, rows: Tensor, values: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """`table()` and `linear_table()` at rising rows (U,): each text field's rows lie side by side among them."""
        blocks = []
        # Training rows hold no unseen values: their ids stay those of OOV.
        behind = [] if self.training else self._unseen_blocks()
        times = 1 if self.training else 2
        for start, stop, gated in [*self._blocks(), *behind]:
            low, high = torch.searchsorted(rows, rows.new_tensor([start, stop])).tolist()
            blocks.append((low, high, gated.index_select(0, rows[low:high] - start)))
        table = _AddValues.apply(values[0], blocks, *[*self.projections] * times)
        if len(values) == 1:
            return table, None
        linear = _AddValues.apply(values[1].unsqueeze(1), blocks, *[*self.linear_projections] * times)
        return table, linear.squeeze(1)

    def _unseen_blocks(self) -> list[tuple[int, int, Tensor]]:
        """First and last row, behind the table, of each field's unseen values, and their z (U_k, r_k)."""
        blocks, start = [], self._total_rows
        for number, field in enumerate(self.values.fields):
            blocks.append((start, start + len(field.unseen), self.get_buffer(f"_unseen_{number}")))
            start += len(field.unseen)
        return blocks

    def _blocks(self) -> list[tuple[int, int, Tensor]]:
        return [
            (field.start, field.stop, self.get_buffer(f"_gated_{number}"))
            for number, field in enumerate(self.values.fields)
        ]


class _AddValues(torch.autograd.Function):
    """weight[start:stop] += z P for each block; autograd's own slices would copy the table once a field."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, blocks: list[tuple[int, int, Tensor]], *projections: Tensor) -> Tensor:
        ctx.blocks = blocks
        table = weight.clone()
        for (start, stop, gated), projection in zip(blocks, projections, strict=True):
            table[start:stop].addmm_(gated, projection)
        return table

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient, None, *(gated.t() @ gradient[start:stop] for start, stop, gated in ctx.blocks)
