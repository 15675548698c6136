"""Which rows hold values that training never saw: what ids alone do not tell, for all of them are OOV.

Letters: N rows, C id slots, M places of unseen values, U distinct unseen values.
"""

from __future__ import annotations

from collections.abc import Iterable
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


def unseen_words(transform: Transform, name: str, table: pa.Table) -> list[list[str]]:
    """The values out of vocabulary of each raw row, in the order of the text."""
    place = transform.layout.names.index(name)
    field, known = transform.spec_fields[place], transform.known(name)
    column = table[raw_column(field)].to_pylist()
    if isinstance(field, MultiValuedField):
        return [[w for w in split_values(text or "", field.separator) if w not in known] for text in column]
    return [[] if text is None or text in known else [text] for text in column]


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
        words = unseen_words(transform, name, table.take(pa.array(rows)))
        held = [some[0] if some else None for some in words]
        values = sorted({word for word in held if word is not None})
        place_of = {word: number for number, word in enumerate(values)}
        kept = [(row, place_of[word]) for row, word in zip(rows.tolist(), held, strict=True) if word is not None]
        pairs = np.array(kept, np.int64).reshape(-1, 2)
        found[name] = UnseenRows(tuple(values), np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))
    return found
