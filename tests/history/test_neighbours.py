from __future__ import annotations

import numpy as np
import pytest

from llactr.history import neighbours
from llactr.history.compiled.pairing import neighbour_sums
from llactr.history.compiled.plan import LAST, RESIDUALS
from llactr.history.neighbours import NeighbourSums, Spans


def sums_of(pairs: list[tuple[int, int]]) -> NeighbourSums:
    """Each pair is a user of two events, of residuals 1 and 0.5, whose second is paired with the first."""
    items = np.array([item for pair in pairs for item in pair], np.uint64)
    residuals = np.tile([1.0, 0.5], len(pairs)).astype(np.float32)
    sums = NeighbourSums(np.unique(items), items, residuals)
    later = np.arange(len(pairs)) * 2 + 1
    for at in later:  # one by one, so that the table is cleared on the way where it is small
        sums.add(np.array([at]), Spans(np.array([at - 1]), np.array([at])))
    return sums


def test_a_weight_is_the_mean_product_drawn_to_zero() -> None:
    table = sums_of([(1, 2), (2, 1), (1, 3)]).table()
    assert table.items.tolist() == [1, 2, 3]
    assert table.keys.tolist() == [1, 2, 3, 6]  # 1-2, 1-3, 2-1, 3-1
    np.testing.assert_allclose(table.weights, np.array([1.0, 0.5, 1.0, 0.5]) / [22, 21, 22, 21], rtol=1e-6)


def test_pairs_that_few_share_are_forgotten_when_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_MOST_PLACES", 1 << 16)
    often = [(1, 2)] * 3
    seldom = [(10 + n, 100_000 + n) for n in range(40_000)]
    table = sums_of(often + seldom).table()
    size = len(table.items)
    kept = {(int(table.items[key // size]), int(table.items[key % size])) for key in table.keys}
    assert {(1, 2), (2, 1)} <= kept
    assert len(kept) < 2 * 32_768
    assert (49_999 - 10, 139_999 - 10) not in kept or (10, 100_000) not in kept


def test_sums_over_the_past_are_those_of_a_loop_over_all_pairs() -> None:
    # Places that agree in their last ten bits, an item twice in the past, one without a place, a weight of 0.
    size, last, random = 4000, 6, np.random.default_rng(3)
    past = np.array([[5, 1029, 2053, 5, size, 3077]])
    residuals = random.normal(size=last).astype(np.float32)
    record = np.zeros((1, 8 + 4 * last), np.uint8)
    record[0, :8].view(np.int64)[0] = 9
    record[0, 8:].view(np.float32)[:] = residuals
    parts = np.zeros(8, np.int64)
    parts[[LAST, RESIDUALS]] = last, 8
    lists = {7: [5, 6, 1029, 3077], 8: [5 + 1024 * 3], 9: [1030], 10: []}
    weights = {(row, column): np.float32(random.normal()) for row, columns in lists.items() for column in columns}
    weights[7, 6] = weights[7, 1029] = np.float32(0)
    starts = np.searchsorted([row for row, columns in lists.items() for _ in columns], np.arange(size + 1))
    columns = np.array([column for each in lists.values() for column in each], np.int32)
    here, found = np.array([7, 8, 9, 10, size]), np.empty(5)
    neighbour_sums(record, parts, past, here, starts, columns, np.array(list(weights.values()), np.float32), found)
    own = residuals.astype(np.float64).sum() / (last + 1)
    expected = [
        [
            weights.get((row, place), 0) * (float(residual) - own)
            for place, residual in zip(past[0], residuals, strict=True)
        ]
        for row in here.tolist()
    ]
    sums = [sum(map(float, row)) / np.sqrt(last + 1) if any(row) else np.nan for row in expected]
    np.testing.assert_allclose(found, sums, rtol=1e-12)
    assert np.isnan(found).tolist() == [False, False, True, True, True]


def test_an_item_keeps_its_strongest_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_MOST_NEIGHBOURS", 2)
    table = sums_of([(1, 2), (1, 3), (1, 3), (1, 4), (1, 4), (1, 4)]).table()
    assert table.keys.tolist() == [2, 3, 4, 8, 12]  # 1-3, 1-4, and 2-1, 3-1, 4-1
