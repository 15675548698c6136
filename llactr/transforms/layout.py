"""How the ids of a row are laid out: one or more slots per field, each with local ids of the field's own table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["FIRST", "NULL", "OOV", "PAD", "FieldLayout"]

PAD, OOV, NULL, FIRST = 0, 1, 2, 3
"""Local ids that every field reserves: an unused slot, a value not seen in training, no value, the first real value."""


@dataclass(frozen=True)
class FieldLayout:
    """Fields, the sizes of their id tables, and their slots in a row of ids.

    F fields, C slots. Slots lie in the order of the fields; a multi-valued field has `max_values` of them.

    Attributes:
        names: names of the F fields.
        vocab_sizes: rows of each field's table, the three reserved ids included.
        slots: slots of each field.
    """

    names: tuple[str, ...]
    vocab_sizes: tuple[int, ...]
    slots: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.vocab_sizes) == len(self.slots):
            raise ValueError("names, vocab_sizes and slots must be equally long")
        if any(size < FIRST for size in self.vocab_sizes) or any(slot < 1 for slot in self.slots):
            raise ValueError(f"every field needs {FIRST} reserved ids and at least one slot")

    @property
    def field_count(self) -> int:
        """F."""
        return len(self.names)

    @property
    def slot_count(self) -> int:
        """C, the columns of an array of ids."""
        return sum(self.slots)

    @property
    def total_rows(self) -> int:
        """Rows of all fields' tables stacked into one."""
        return sum(self.vocab_sizes)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(F,) first row of each field in the stacked table: its row = offset + local id."""
        return np.concatenate([[0], np.cumsum(self.vocab_sizes)[:-1]]).astype(np.int64)

    @cached_property
    def slot_fields(self) -> NDArray[np.int64]:
        """(C,) index of the field that each slot belongs to."""
        return np.repeat(np.arange(self.field_count), self.slots).astype(np.int64)

    @cached_property
    def slot_starts(self) -> NDArray[np.int64]:
        """(F,) first slot of each field."""
        return np.concatenate([[0], np.cumsum(self.slots)[:-1]]).astype(np.int64)
