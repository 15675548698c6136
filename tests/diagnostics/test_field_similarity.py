from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from llactr.diagnostics import effective_rank, nearest_fields, similarity
from llactr.errors import DataError


def vectors(rows, names=None, **changes):
    # A stand-in for FieldVectors, which refuses vectors that are not of length 1: here some are, on purpose.
    array = np.array(rows, dtype=np.float32)
    names = tuple(names or "abcdefgh"[: len(array)])
    return SimpleNamespace(
        dataset="toy", version="1", encoder="none", fields=names, descriptions=names, vectors=array, **changes
    )


def test_raw_cosines_of_three_known_angles():
    found = similarity(vectors([[2, 0], [0, 3], [3, 4]]), centered=False)  # 90 degrees; cosines 3/5 and 4/5
    np.testing.assert_allclose(found.matrix, [[1, 0, 0.6], [0, 1, 0.8], [0.6, 0.8, 1]], atol=1e-6)
    assert found.mean_off_diagonal == pytest.approx((0 + 0.6 + 0.8) / 3, abs=1e-6)
    assert (found.device, found.device_reason != "", found.degenerate) == ("cpu", True, ())


def test_centering_takes_the_common_part_away():
    common = np.array([100.0, 0, 0])
    triangle = np.array([[0, 1, 0], [0, -0.5, np.sqrt(3) / 2], [0, -0.5, -np.sqrt(3) / 2]])  # 120 degrees apart
    raw = similarity(vectors(common + triangle), centered=False)
    centered = similarity(vectors(common + triangle), centered=True)
    assert raw.matrix.min() > 0.999
    np.testing.assert_allclose(centered.matrix, np.where(np.eye(3), 1, -0.5), atol=1e-5)


def test_identical_vectors_have_no_direction_after_centering():
    found = similarity(vectors([[0.6, 0.8]] * 3), centered=True)
    assert found.degenerate == ("a", "b", "c")
    np.testing.assert_array_equal(found.matrix, np.zeros((3, 3)))
    assert (found.effective_rank, found.mean_off_diagonal) == (0.0, 0.0)


def test_a_zero_vector_is_named_and_is_nobodys_neighbour():
    given = vectors([[1, 0], [0, 0], [1, 0.1]])
    assert similarity(given, centered=False).degenerate == ("b",)
    near = nearest_fields(given, k=2, centered=False)
    assert [n.field for n in near["a"]] == ["c"]
    assert near["b"] == ()


def test_one_field_has_itself_only():
    found = similarity(vectors([[0.6, 0.8]]), centered=False)
    np.testing.assert_allclose(found.matrix, [[1]], atol=1e-6)
    assert (found.mean_off_diagonal, nearest_fields(vectors([[0.6, 0.8]]))) == (0.0, {"a": ()})


def test_nearest_fields_in_order_without_the_field_itself():
    near = nearest_fields(vectors([[1, 0], [0, 1], [3, 4], [1, 0]]), k=2, centered=False)
    assert [n.field for n in near["a"]] == ["d", "c"]  # d is a's twin: cosine 1
    assert near["a"][1].cosine == pytest.approx(0.6, abs=1e-6)
    assert [n.field for n in near["b"]] == ["c", "a"]  # a and d tie at 0: the spec's order decides


def test_many_identical_vectors_never_return_the_field_itself():
    near = nearest_fields(vectors([[1.0, 0]] * 8), k=3, centered=False)
    assert all(name not in [n.field for n in found] and len(found) == 3 for name, found in near.items())


def test_effective_rank_counts_equal_directions():
    assert effective_rank(np.eye(4, dtype=np.float32)) == pytest.approx(4)
    assert effective_rank(np.ones((4, 3), dtype=np.float32)) == pytest.approx(1)
    # singular values 3 and 1: shares 3/4, 1/4, entropy ln 4 - 3/4 ln 3
    assert effective_rank(np.diag([3.0, 1.0]).astype(np.float32)) == pytest.approx(4 / 3**0.75, rel=1e-6)


def test_broken_vectors_are_refused_by_name():
    with pytest.raises(DataError, match="vector of field 'b' holds NaN"):
        similarity(vectors([[1, 0], [np.nan, 1]]), centered=False)
    with pytest.raises(DataError, match=r"shape \(2, 2\) for 3 fields"):
        similarity(vectors([[1, 0], [0, 1]], names=("a", "b", "c")), centered=False)
    with pytest.raises(DataError, match="k is 0"):
        nearest_fields(vectors([[1, 0], [0, 1]]), k=0)


def test_a_cosine_needs_no_matplotlib():
    code = (
        "import sys, llactr.diagnostics as d; d.similarity; print({'matplotlib', 'jinja2', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
