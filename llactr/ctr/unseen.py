"""Values that training never saw: each gets a row of its own at the end of the table, made of its vector alone.

Letters: N rows to score, C id slots, R rows of the fused table, X rows added, D embedding dim.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from llactr.ctr.model import CTRModel
from llactr.ctr.unseen_rows import unseen_words
from llactr.ctr.value_projections import ValueProjections
from llactr.transforms import OOV, Transform

__all__ = ["UnseenValues"]


class UnseenValues:
    """A scoring model whose table grows: T = E_oov(k) + z P_k for each unseen value that is added.

    A local id beyond the field's own table leads to an added row: ids + offset is a row number, whatever the field. So
    ids, caches and batches stay as they are. Reads may run in several threads; adding takes a lock.

    Args:
        model: folded, in evaluation mode; copied, not changed.
        transform: what gave the ids.
        projections: of the model.
        capacity: X, added rows at most; a value beyond that stays out of vocabulary.
    """

    def __init__(
        self, model: CTRModel, transform: Transform, projections: ValueProjections, *, capacity: int = 65_536
    ) -> None:
        self.model = copy.deepcopy(model).eval()
        self.capacity = capacity
        self._transform, self._projections = transform, projections
        layout = transform.layout
        self._places = {name: layout.names.index(name) for name in projections.fields}
        self._rows: dict[tuple[str, str], int] = {}
        self._first_row = layout.total_rows
        self._lock = threading.Lock()

    def missing(self, table: pa.Table) -> dict[str, list[str]]:
        """The values in raw rows that neither the vocabulary nor an added row knows: field -> values, sorted."""
        found = {}
        for name in self._projections.fields:
            values = {word for words in unseen_words(self._transform, name, table) for word in words}
            new = sorted(value for value in values if (name, value) not in self._rows)
            if new:
                found[name] = new
        return found

    def add(self, vectors: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> int:
        """Adds rows for values by their vectors: field -> value -> (L,); returns how many were new."""
        with self._lock, torch.no_grad():
            tables, weights = [], []
            numbers: dict[tuple[str, str], int] = {}
            embedding = self.model.embedding
            for name, given in vectors.items():
                room = self.capacity - len(self._rows) - len(numbers)
                fresh = [value for value in given if (name, value) not in self._rows][:room]
                if name not in self._projections.fields or not fresh:
                    continue
                oov = int(self._transform.layout.offsets[self._places[name]]) + OOV
                placed, linear = self._projections.fields[name].place(np.stack([given[value] for value in fresh]))
                tables.append(embedding.weight[oov] + torch.from_numpy(placed))
                if embedding.linear is not None:
                    weights.append(embedding.linear[oov] + torch.from_numpy(linear))
                for value in fresh:
                    numbers[name, value] = self._first_row + len(self._rows) + len(numbers)
            if numbers:
                # Rows first, ids later: a reader that runs now finds every row that its ids lead to.
                embedding.weight = nn.Parameter(torch.cat([embedding.weight, *tables]), requires_grad=False)
                if embedding.linear is not None:
                    embedding.linear = nn.Parameter(torch.cat([embedding.linear, *weights]), requires_grad=False)
                self._rows |= numbers
            return len(numbers)

    def ids(self, ids: NDArray[np.int32], table: pa.Table) -> NDArray[np.int32]:
        """The ids of raw rows, those of added values in the place of OOV.

        A multi-valued field has one OOV slot whatever the number of its unknown values: the first added one takes it.

        Args:
            ids: (N, C) of `Transform.ids`; not changed.
            table: the raw rows that they are of.
        """
        if not self._rows:
            return ids
        layout = self._transform.layout
        ids = ids.copy()
        for name, place in self._places.items():
            start = int(layout.slot_starts[place])
            slots = ids[:, start : start + layout.slots[place]]  # (N, S), a view
            rows, columns = np.nonzero(slots == OOV)
            if not len(rows):
                continue
            words = unseen_words(self._transform, name, table.take(pa.array(rows)))
            offset = int(layout.offsets[place])
            for row, column, unknown in zip(rows, columns, words, strict=True):
                added = next((number for word in unknown if (number := self._rows.get((name, word)))), None)
                if added is not None:
                    slots[row, column] = added - offset
        return ids
