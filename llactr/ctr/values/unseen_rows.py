"""Which rows hold values that training never saw: what ids alone do not tell, for all of them are OOV.

Letters: N rows, C id slots, M places of unseen values, U distinct unseen values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.spec import MultiValuedField
from llactr.transforms import OOV, Transform, raw_column, split_values

__all__ = ["UnseenRows", "find_unseen", "unseen_words"]


@dataclass(frozen=True)
class UnseenRows:
    """The unseen values of one field.

    Attributes:
        values: U distinct values, sorted.
        rows: (M,) int64, rows that hold one. In a multi-valued field the first one counts: it has one OOV slot.
        places: (M,) int64, which of the U each holds.
    """

    values: tuple[str, ...]
    rows: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, rows: NDArray[np.int64], words: Sequence[str | None]) -> UnseenRows:
        """Those of rows and the unseen word that each holds; None for a row without any."""
        values = sorted({word for word in words if word is not None})
        place_of = {word: number for number, word in enumerate(values)}
        kept = [(row, place_of[word]) for row, word in zip(rows.tolist(), words, strict=True) if word is not None]
        pairs = np.array(kept, np.int64).reshape(-1, 2)
        return cls(tuple(values), np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))

    def at(self, rows: NDArray[np.int64]) -> UnseenRows:
        """Those of some rows, given in rising order and numbered anew; values that none of them holds are left out."""
        numbers = np.searchsorted(rows, self.rows)
        held = numbers < len(rows)
        held[held] = rows[numbers[held]] == self.rows[held]
        return UnseenRows.of(numbers[held], [self.values[place] for place in self.places[held].tolist()])


def unseen_words(transform: Transform, name: str, texts: Sequence[str | None]) -> list[str | None]:
    """The value out of vocabulary in each raw text of a field, of several the first; None where there is none."""
    field, known = transform.spec_fields[transform.layout.names.index(name)], transform.known(name)
    if isinstance(field, MultiValuedField):
        separator = field.separator
        return [next((w for w in split_values(text or "", separator) if w not in known), None) for text in texts]
    return [None if text is None or text in known else text for text in texts]


def find_unseen(
    transform: Transform, ids: NDArray[np.int32], table: pa.Table, fields: Iterable[str]
) -> dict[str, UnseenRows]:
    """The unseen values of some fields; only rows with an OOV slot are looked at.

    Args:
        transform: what gave the ids.
        ids: (N, C) local ids of the raw rows.
        table: the raw rows.
        fields: names of categorical or multi-valued fields.
    """
    layout = transform.layout
    found = {}
    for name in fields:
        place = layout.names.index(name)
        start = int(layout.slot_starts[place])
        rows = np.flatnonzero((ids[:, start : start + layout.slots[place]] == OOV).any(axis=1))
        column = table[raw_column(transform.spec_fields[place])].take(pa.array(rows))
        found[name] = UnseenRows.of(rows, unseen_words(transform, name, column.to_pylist()))
    return found
