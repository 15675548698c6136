"""Which rows a warm training reads, on times that can be counted on fingers."""

from __future__ import annotations

import numpy as np

from llactr.ctr.training.warm.config import WarmConfig
from llactr.ctr.training.warm.rows import warm_rows
from llactr.spec import SplitSpec
from llactr.transforms import chronological_split

TIMES = np.arange(20, dtype=np.int64)
RANGES = chronological_split(20, SplitSpec())  # 16 to train on, 2, 2


def test_new_rows_and_a_draw_of_those_before() -> None:
    found = warm_rows(TIMES, RANGES, WarmConfig(replay_share=0.5), until=11, seed=0)
    assert found.places[found.split.train][found.new].tolist() == [12, 13, 14, 15]
    replayed = found.places[found.split.train][~found.new]
    assert len(replayed) == 2
    assert set(replayed.tolist()) < set(range(12))
    assert found.places[found.split.validation].tolist() == [16, 17]
    assert found.places[found.split.test].tolist() == [18, 19]
    assert found.new_count == 4
    again = warm_rows(TIMES, RANGES, WarmConfig(replay_share=0.5), until=11, seed=0)
    assert np.array_equal(again.places, found.places)
    other = warm_rows(TIMES, RANGES, WarmConfig(replay_share=0.5), until=11, seed=1)
    assert not np.array_equal(other.places, found.places)


def test_no_more_rows_of_before_than_there_are_and_none_where_none_is_new() -> None:
    found = warm_rows(TIMES, RANGES, WarmConfig(replay_share=9), until=1, seed=0)
    assert found.places[found.split.train].tolist() == list(range(16))
    assert found.new.tolist() == [False] * 2 + [True] * 14
    nothing = warm_rows(TIMES, RANGES, WarmConfig(), until=15, seed=0)
    assert (nothing.new_count, len(nothing.new)) == (0, 0)
    assert warm_rows(TIMES, RANGES, WarmConfig(), until=99, seed=0).new_count == 0


def test_rows_of_the_same_moment_as_the_last_are_not_new() -> None:
    times = TIMES // 4
    found = warm_rows(times, RANGES, WarmConfig(replay_share=0), until=2, seed=0)
    assert found.places[found.split.train].tolist() == [12, 13, 14, 15]


def test_only_the_newest_held_out_rows_are_looked_at() -> None:
    found = warm_rows(TIMES, RANGES, WarmConfig(held_out_rows=1, replay_share=0), until=13, seed=0)
    assert found.places.tolist() == [14, 15, 17, 19]
    assert [part.tolist() for part in (found.split.train, found.split.validation, found.split.test)] == [
        [0, 1], [2], [3]
    ]  # fmt: skip
