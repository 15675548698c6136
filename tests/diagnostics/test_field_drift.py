from __future__ import annotations

import numpy as np
import pytest

from llactr.diagnostics import drift
from llactr.diagnostics.version_drift import aligned_cosines
from llactr.errors import DataError
from llactr.semantics import FieldVectors

NAMES = ("age", "gender", "genre", "year", "hour")


def version(array, *, name="1", names=NAMES, dataset="toy", descriptions=None):
    array = np.asarray(array, dtype=np.float64)
    array = (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)
    return FieldVectors(
        dataset=dataset, version=name, encoder="none", fields=tuple(names),
        descriptions=tuple(descriptions or names), vectors=array,
    )  # fmt: skip


def random_rows(seed, count=5, dim=8):
    return np.random.default_rng(seed).normal(size=(count, dim))


def test_a_rotated_space_has_not_drifted():
    rows = random_rows(0)
    rotation = np.linalg.qr(random_rows(1, 8, 8))[0]
    found = drift(version(rows), version(rows @ rotation, name="2"), k=2)
    assert found.mean_aligned_cosine == pytest.approx(1, abs=1e-5)
    assert found.matrix_correlation == pytest.approx(1, abs=1e-5)
    assert all(field.kept_neighbours == 1 and not field.redescribed for field in found.fields)


def test_dims_may_differ():
    rows = random_rows(0)
    wider = np.hstack([rows, np.zeros((5, 4))]) @ np.linalg.qr(random_rows(1, 12, 12))[0]
    assert drift(version(rows), version(wider)).mean_aligned_cosine == pytest.approx(1, abs=1e-5)
    assert drift(version(wider), version(rows)).mean_aligned_cosine == pytest.approx(1, abs=1e-5)


def test_aligned_cosines_of_a_case_worked_by_hand():
    # old: two fields at a right angle, new: 60 degrees apart. The best rotation shares the misfit of 30 degrees
    # equally, so each field ends 15 degrees off.
    old = np.array([[1, 0], [0, 1]], dtype=np.float32)
    new = np.array([[1, 0], [0.5, np.sqrt(3) / 2]], dtype=np.float32)
    np.testing.assert_allclose(aligned_cosines(old, new), [np.cos(np.pi / 12)] * 2, atol=1e-6)


def test_aligned_cosines_agree_with_procrustes_in_the_full_space():
    from scipy.linalg import orthogonal_procrustes

    old, new = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (random_rows(2), random_rows(3)))
    rotation, _ = orthogonal_procrustes(old, new)
    expected = ((old @ rotation) * new).sum(axis=1)
    np.testing.assert_allclose(
        aligned_cosines(old.astype(np.float32), new.astype(np.float32)).sum(), expected.sum(), atol=1e-5
    )


def test_the_field_that_moved_comes_first_with_its_neighbours():
    before = np.array([[5, 0, 0, 0], [5, 1, 0, 0], [0, 0, 5, 0], [0, 0, 5, 1], [0, 5, 0, 5]], dtype=float)
    after = before.copy()
    after[0] = [0, 0, 5, 0.5]  # age was beside gender, is now beside genre and year
    found = drift(version(before), version(after, name="2"), k=1, centered=False)
    moved = found.fields[0]
    assert (moved.field, moved.neighbours_before, moved.kept_neighbours) == ("age", ("gender",), 0.0)
    assert moved.neighbours_after[0] in ("genre", "year")
    assert found.matrix_correlation is not None
    assert found.matrix_correlation < 0.9


def test_added_removed_and_redescribed_fields_are_named():
    before = version(random_rows(0), descriptions=["a", "b", "c", "d", "e"])
    after = version(
        random_rows(0)[:4], names=("age", "gender", "genre", "tag"), descriptions=["a", "new", "c", "t"], name="2"
    )
    found = drift(before, after)
    assert (found.added, found.removed) == (("tag",), ("year", "hour"))
    assert {field.field: field.redescribed for field in found.fields} == {"age": False, "gender": True, "genre": False}


def test_two_fields_have_no_correlation():
    before, after = (version(random_rows(seed)[:2], names=NAMES[:2]) for seed in (0, 1))
    assert drift(before, after).matrix_correlation is None


def test_versions_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="two versions of one dataset, got 'toy' and 'other'"):
        drift(version(random_rows(0)), version(random_rows(0), dataset="other"))
    with pytest.raises(DataError, match="share no field"):
        drift(version(random_rows(0)), version(random_rows(0), names=list("vwxyz")))
