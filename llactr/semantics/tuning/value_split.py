"""Which values are tuned on, which stop the tuning, and which measure it: no text is in two of the three.

Legend: N values, K fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError

__all__ = ["LabelledValues", "ValueSplit", "split_values"]

_HELD_OUT_SHARE, _VALIDATION_SHARE = 0.2, 0.1
_FEWEST_TO_SHARE = 5


@dataclass(frozen=True)
class LabelledValues:
    """Value texts with the fields they occur in.

    Attributes:
        texts: N distinct texts.
        positives: (N, K) bool, True where the value occurs in the field.
        drawn_for: (N,) int64, the field that each value was drawn for; one of its positives.
    """

    texts: tuple[str, ...]
    positives: NDArray[np.bool_]
    drawn_for: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class ValueSplit:
    """The three disjoint parts."""

    train: LabelledValues
    validation: LabelledValues
    held_out: LabelledValues


def split_values(
    field_values: Mapping[str, Sequence[str]],
    *,
    train_per_field: int,
    validation_per_field: int,
    held_out_per_field: int,
    seed: int,
) -> ValueSplit:
    """Draws values for each field; the same input and seed give the same parts, whatever the order of the values.

    At most a fifth of a field's values is held out and a tenth validates; a field of fewer than five values (a gender)
    is tuned on whole. Small fields draw first, so that a large field that shares their values does not use them up.

    Args:
        field_values: distinct values by field.
        train_per_field: most values a field to tune on.
        validation_per_field: most values a field to stop on.
        held_out_per_field: most values a field to measure on.
        seed: of the draw.

    Raises:
        DataError: fewer than two fields have values.
    """
    names = list(field_values)
    filled = [name for name in names if len(field_values[name])]
    if len(filled) < 2:
        raise DataError(
            f"fine-tuning tells fields apart by their values, but of {len(names)} fields only {filled} have any: "
            "check the spec's columns and null rules"
        )
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for value in field_values[name]:
            fields = members.setdefault(value, [])
            if not fields or fields[-1] != index:
                fields.append(index)
    rng = np.random.default_rng(seed)
    taken: set[str] = set()
    parts: dict[str, list[tuple[str, int]]] = {"train": [], "validation": [], "held_out": []}
    for index in sorted(range(len(names)), key=lambda k: (len(field_values[names[k]]), k)):
        free = sorted(set(field_values[names[index]]) - taken)
        order = [free[i] for i in rng.permutation(len(free))]
        shared = len(order) >= _FEWEST_TO_SHARE
        held_out = min(held_out_per_field, round(len(order) * _HELD_OUT_SHARE)) if shared else 0
        validation = min(validation_per_field, round(len(order) * _VALIDATION_SHARE)) if shared else 0
        sizes = {"held_out": held_out, "validation": validation, "train": train_per_field}
        start = 0
        for part, size in sizes.items():
            chosen = order[start : start + size]
            parts[part] += [(value, index) for value in chosen]
            taken.update(chosen)
            start += size
    return ValueSplit(**{part: _labelled(drawn, members, len(names)) for part, drawn in parts.items()})


def _labelled(drawn: list[tuple[str, int]], members: Mapping[str, list[int]], field_count: int) -> LabelledValues:
    positives = np.zeros((len(drawn), field_count), dtype=np.bool_)
    for row, (value, _) in enumerate(drawn):
        positives[row, members[value]] = True
    return LabelledValues(
        texts=tuple(value for value, _ in drawn),
        positives=positives,
        drawn_for=np.array([index for _, index in drawn], dtype=np.int64),
    )
