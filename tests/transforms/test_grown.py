"""Vocabularies that grow, and where another one has the same values: worked out by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from llactr.spec import DatasetSpec
from llactr.transforms import Transform

SpecOf = Callable[..., DatasetSpec]
NOON = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)


def table(**columns: list[object]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({"event_timestamp": pa.array([NOON] * count, pa.timestamp("us", "UTC")), **columns})


def fields(spec_of: SpecOf) -> DatasetSpec:
    return spec_of(
        {"name": "c", "kind": "categorical"},
        {"name": "m", "kind": "multi_valued", "separator": "|", "max_values": 2},
        {"name": "n", "kind": "numeric", "bucket_count": 2},
    )


FIRST = table(c=["b", "a", "b", "a"], m=["x", "x|y", None, "x"], n=[1.0, 2.0, 3.0, 4.0])
LATER = table(c=["z", "a", "d", "d"], m=["w|x", "w", "y", None], n=[100.0, 5.0, None, 7.0])


def test_new_values_come_behind_those_that_are_there(spec_of: SpecOf) -> None:
    old = Transform.fit(fields(spec_of), FIRST)
    grown = old.grown(LATER)
    assert (old.values("c"), old.values("m")) == (["a", "b"], ["x", "y"])
    assert grown.values("c") == ["a", "b", "d", "z"]  # d is the more frequent
    assert grown.values("m") == ["x", "y", "w"]
    assert grown.values("n") == old.values("n") == ["below 2", "2 or more"]
    # pad, oov, null, a, b, d, z: of the first rows 2 a and 2 b, of the later ones 1 a, 2 d, 1 z.
    assert grown.counts[0].tolist() == [0, 0, 0, 3, 2, 2, 1]
    assert grown.counts[1].tolist() == [0, 0, 2, 4, 2, 2]
    assert grown.counts[2].tolist() == [0, 0, 1, 1, 6]
    assert np.array_equal(grown.ids(FIRST), old.ids(FIRST))
    assert old.values("c") == ["a", "b"], "the old one is as it was"


def test_rows_are_found_by_value_whatever_the_ids(spec_of: SpecOf) -> None:
    old = Transform.fit(fields(spec_of), FIRST)
    new = Transform.fit(fields(spec_of), LATER)
    assert (new.values("c"), new.values("m")) == (["d", "a", "z"], ["w", "x", "y"])
    # Old rows: c is 0..4 (a 3, b 4), m is 5..9 (x 8, y 9), n is 10..14.
    assert new.rows_in(old)[:12].tolist() == [0, 1, 2, -1, 3, -1, 5, 6, 7, -1, 8, 9]
    # Edges 2.0 of old and 7.0 of new: what is below 7, and what is 7 or more, lay in the old bucket of 2 or more.
    assert new.values("n") == ["below 7", "7 or more"]
    assert new.rows_in(old)[12:].tolist() == [10, 11, 12, 14, 14]
    assert old.rows_in(new)[10:].tolist() == [12, 13, 14, 15, 15]
    assert old.rows_in(old).tolist() == list(range(15))
    assert old.grown(LATER).rows_in(old)[:7].tolist() == [0, 1, 2, 3, 4, -1, -1]


def test_min_count_holds_among_the_new_rows(spec_of: SpecOf) -> None:
    spec = spec_of({"name": "c", "kind": "categorical", "min_count": 2})
    old = Transform.fit(spec, table(c=["a", "a", "b"]))
    grown = old.grown(table(c=["b", "d", "d"]))
    assert grown.values("c") == ["a", "d"]
    assert grown.counts[0].tolist() == [0, 2, 0, 2, 2]
