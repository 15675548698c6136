"""Train, validation and test: shares of the rows in the order of time."""

from __future__ import annotations

from typing import NamedTuple

from llactr.errors import DataError
from llactr.spec import SplitSpec

__all__ = ["SplitRanges", "chronological_split"]


class SplitRanges(NamedTuple):
    """Row numbers of each split, in event order; together they are all rows."""

    train: range
    validation: range
    test: range


def chronological_split(row_count: int, split: SplitSpec) -> SplitRanges:
    """The first rows to train on, the next to validate with, the last to test on.

    Args:
        row_count: rows of the events table, which is in the order of event time, ties in their original order.
        split: the shares; a share of a row goes to the later split.

    Raises:
        DataError: a split would be empty.
    """
    # 0.7 + 0.2 and the like fall short of the number that is meant by an ulp.
    train_end = int(row_count * split.train + 1e-6)
    validation_end = int(row_count * (split.train + split.validation) + 1e-6)
    ranges = SplitRanges(range(train_end), range(train_end, validation_end), range(validation_end, row_count))
    for name, rows in zip(ranges._fields, ranges, strict=True):
        if not rows:
            raise DataError(
                f"{row_count} rows leave none for the {name} split: give more rows, or another 'split' in the spec"
            )
    return ranges
