from __future__ import annotations

import math

import pyarrow as pa
import pytest

from llactr.diagnostics.skew.fields import FieldSkew, ListSkew

KEYS = list("abcdef")


def test_four_figures_worked_out_by_hand() -> None:
    field = FieldSkew()
    served = pa.array(["x", None, None, "y", "z", "x"])
    offline = pa.array(["x", None, "w", None, "q", "x"])
    assert field.add(served, offline, KEYS).tolist() == [2, 3, 4]
    found = field.as_json()
    assert {name: found[name] for name in ("compared", "equal", "different", "missing", "extra", "mismatches")} == {
        "compared": 6, "equal": 3, "different": 1, "missing": 1, "extra": 1, "mismatches": 3
    }  # fmt: skip
    assert found["rate"] == 0.5
    assert found["examples"] == [
        {"key": "c", "served": None, "offline": "w"},
        {"key": "d", "served": "y", "offline": None},
        {"key": "e", "served": "z", "offline": "q"},
    ]
    field.add(pa.array(["x", "x"]), pa.array(["y", "x"]), ["g", "h"])
    assert (field.compared, field.different, len(field.as_json()["examples"])) == (8, 2, 3)


def test_numbers_may_be_equal_within_a_tolerance() -> None:
    served, offline = pa.array([1.0, 100.0, 0.0, math.nan, 2.0]), pa.array([1.0 + 4e-6, 100.002, 2e-5, 3.0, math.nan])
    assert FieldSkew().add(served, offline, KEYS).tolist() == [0, 1, 2, 3, 4]
    near = FieldSkew()
    assert near.add(served, offline, KEYS, tolerance=1e-5).tolist() == [1, 2, 3, 4]
    assert (near.different, near.missing, near.extra) == (2, 1, 1)


def test_lists_have_lengths_and_edit_distances() -> None:
    lists = ListSkew()
    lists.add(["a", "b"], ["a", "b"], equal=True)
    lists.add(["a"], ["b", "a", "c"])  # 2
    lists.add([], ["a"])  # 1
    found = lists.as_json()
    assert found == {"length": {"served": 1.0, "offline": 2.0}, "edit_distance": {"mean": 1.0, "max": 2}}


def test_a_field_without_rows_has_no_share() -> None:
    assert FieldSkew().as_json()["rate"] == 0
    assert ListSkew().as_json()["edit_distance"] == pytest.approx({"mean": 0, "max": 0})
