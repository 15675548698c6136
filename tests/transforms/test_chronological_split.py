from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llactr.errors import DataError
from llactr.spec import SplitSpec
from llactr.transforms import chronological_split


def test_eight_one_one() -> None:
    assert chronological_split(72_855, SplitSpec()) == (range(58_284), range(58_284, 65_569), range(65_569, 72_855))
    assert chronological_split(10, SplitSpec()) == (range(8), range(8, 9), range(9, 10))


def test_decimal_shares_are_meant_exactly() -> None:
    assert 100 * (0.7 + 0.2) < 90, "why the split adds a little"
    assert chronological_split(100, SplitSpec(train=0.7, validation=0.2)).validation == range(70, 90)


@given(count=st.integers(10, 10**9), train=st.floats(0.2, 0.6), validation=st.floats(0.1, 0.3))
def test_splits_are_all_rows_in_order(count: int, train: float, validation: float) -> None:
    splits = chronological_split(count, SplitSpec(train=train, validation=validation))
    assert splits.train.start == 0
    assert splits.train.stop == splits.validation.start
    assert splits.validation.stop == splits.test.start
    assert splits.test.stop == count
    assert abs(len(splits.train) - count * train) <= 1


@pytest.mark.parametrize(("count", "name"), [(0, "train"), (1, "train"), (5, "validation")])
def test_too_few_rows(count: int, name: str) -> None:
    with pytest.raises(DataError, match=f"{count} rows leave none for the {name} split: give more rows"):
        chronological_split(count, SplitSpec())
