"""Values that training never saw, scored by their vectors: T_f = E_oov(k) + z_f P_k, and w_oov(k) + z_f q_k.

Their rows are added to what one batch reads of the table, never to the table itself: nothing is kept from one batch to
the next, so calls may run side by side, and no number of new values makes the model grow. Ids stay those of the
transform, an unseen value's being OOV; which value it is comes beside them, as `UnseenRows`.

Letters: N rows to score, C id slots, U unseen values of a field, L semantic dim, D embedding dim.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from llactr.ctr.history import with_history
from llactr.ctr.lookup import Lookup
from llactr.ctr.model import CTRModel
from llactr.ctr.values.projections import ValueProjections
from llactr.ctr.values.unseen_rows import UnseenRows, find_unseen
from llactr.transforms import OOV, Transform

__all__ = ["UnseenValues"]

_ROWS_PER_PASS = 4096


class UnseenValues:
    """Scores rows that hold unseen values.

    Args:
        model: folded; put into evaluation mode, not changed.
        transform: what gives the ids.
        projections: of the model.

    Attributes:
        projections: as given.
        transform: as given.
    """

    def __init__(self, model: CTRModel, transform: Transform, projections: ValueProjections) -> None:
        self.projections = projections
        self.transform = transform
        self._model = model.eval()
        self._layout = transform.layout
        self._places = {name: self._layout.names.index(name) for name in projections.fields}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields whose values have vectors."""
        return tuple(self._places)

    def find(self, ids: NDArray[np.int32], table: pa.Table) -> dict[str, UnseenRows]:
        """The unseen values of raw rows (N) with ids (N, C): field -> values and the rows that hold them."""
        return find_unseen(self.transform, ids, table, self.fields)

    def dim(self, name: str) -> int:
        """L, the length of a field's value vectors."""
        return len(self.projections.fields[name].pca.mean)

    def rows(self, name: str, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Table rows of unseen values.

        Args:
            name: one of `fields`.
            vectors: (U, L) of the values, of the projections' semantics version.

        Returns:
            (U, D + 1) float32: embeddings, and in the last column the first-order weight, 0 where there is none.
        """
        embedding = self._model.embedding
        oov = int(self._layout.offsets[self._places[name]]) + OOV
        placed, linear = self.projections.fields[name].place(vectors)
        rows = np.empty((len(vectors), placed.shape[1] + 1), np.float32)
        rows[:, :-1] = embedding.weight[oov].detach().numpy() + placed
        rows[:, -1] = 0 if embedding.linear is None else embedding.linear[oov].detach().numpy() + linear
        return rows

    def rows_of(
        self, vectors: Mapping[str, Mapping[str, NDArray[np.float32]]]
    ) -> dict[str, dict[str, NDArray[np.float32]]]:
        """`rows` of field -> value -> vector (L,), as field -> value -> (D + 1,).

        What is no vector of L finite numbers is left out: its value stays out of vocabulary.
        """
        rows = {}
        for name, some in vectors.items():
            dim = self.dim(name)
            sound = {value: one for value, one in some.items() if one.shape == (dim,) and np.isfinite(one).all()}
            if sound:
                rows[name] = dict(zip(sound, self.rows(name, np.stack(list(sound.values()))), strict=True))
        return rows

    def score(
        self,
        ids: NDArray[np.int32],
        unseen: Mapping[str, UnseenRows],
        rows: Mapping[str, Mapping[str, NDArray[np.float32]]],
        history: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Click probabilities (N,) float32.

        Args:
            ids: (N, C) local ids; unseen values are OOV.
            unseen: field -> its unseen values and the rows that hold them.
            rows: field -> value -> (D + 1,), from `rows_of`. A value without one stays out of vocabulary.
            history: (N, H) float32 history numbers, for a model that reads them.
        """
        read = ids if history is None else with_history(ids, history)
        row, slot, place, added, field = self._slots(ids, unseen, rows)
        scores = np.empty(len(ids), np.float32)
        for start in range(0, len(ids), _ROWS_PER_PASS):
            stop = min(start + _ROWS_PER_PASS, len(ids))
            here = (row >= start) & (row < stop)
            lookup = self._lookup(ids[start:stop], row[here] - start, slot[here], place[here], added, field)
            with torch.inference_mode():
                logits = self._model(torch.from_numpy(read[start:stop]), lookup=lookup)
                scores[start:stop] = torch.sigmoid(logits).numpy()
        return scores

    def _slots(
        self,
        ids: NDArray[np.int32],
        unseen: Mapping[str, UnseenRows],
        rows: Mapping[str, Mapping[str, NDArray[np.float32]]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """Row, slot and added row of each placed value (M,) each; the added rows (U, D + 1) and their fields (U,)."""
        nothing = np.empty(0, np.int64)
        found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = [(nothing, nothing, nothing)]
        added, fields = [np.empty((0, self._model.embedding.weight.shape[1] + 1), np.float32)], [nothing]
        count = 0
        for name, one in unseen.items():
            known = rows.get(name, {})
            with_row = [value for value in one.values if value in known]
            if not with_row:
                continue
            number_of = {value: count + number for number, value in enumerate(with_row)}
            numbers = np.array([number_of.get(value, -1) for value in one.values], np.int64)[one.places]
            kept = numbers >= 0
            place = self._places[name]
            start = int(self._layout.slot_starts[place])
            slots = ids[one.rows[kept], start : start + self._layout.slots[place]]  # (M, S)
            found.append((one.rows[kept], start + (slots == OOV).argmax(axis=1), numbers[kept]))
            added.append(np.stack([known[value] for value in with_row]))
            fields.append(np.full(len(with_row), place, np.int64))
            count += len(with_row)
        row, slot, number = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return row, slot, number, np.concatenate(added), np.concatenate(fields)

    def _lookup(
        self,
        ids: NDArray[np.int32],
        row: NDArray[np.int64],
        slot: NDArray[np.int64],
        place: NDArray[np.int64],
        added: NDArray[np.float32],
        field: NDArray[np.int64],
    ) -> Lookup:
        """The whole table, or where that is larger a row for each slot of the batch; the added rows behind."""
        embedding = self._model.embedding
        with torch.inference_mode():
            positions = embedding.row_ids(torch.from_numpy(ids)).long()  # (N, C)
            table: Tensor = embedding.weight
            linear: Tensor | None = embedding.linear
            fields = embedding.row_fields
            if len(table) > positions.numel():
                entries = positions.reshape(-1)  # (N C,)
                table, fields = table.index_select(0, entries), fields.index_select(0, entries)
                linear = None if linear is None else linear.index_select(0, entries)
                positions = torch.arange(len(entries)).view(ids.shape)
            positions[torch.from_numpy(row), torch.from_numpy(slot)] = len(table) + torch.from_numpy(place)
            behind = torch.from_numpy(added)
            return Lookup(
                torch.cat([table, behind[:, :-1]]),
                None if linear is None else torch.cat([linear, behind[:, -1]]),
                positions,
                torch.cat([fields, torch.from_numpy(field)]),
            )
