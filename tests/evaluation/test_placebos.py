from __future__ import annotations

import numpy as np
import pytest

from llactr.evaluation.arms import Arm
from llactr.evaluation.comparison import compare
from llactr.evaluation.evidence import Run
from llactr.evaluation.placebos import (
    PLACEBOS,
    Placebo,
    bag_of_words_values,
    permuted_fields,
    permuted_values,
    random_fields,
    random_values,
)
from llactr.evaluation.verdict import Verdict
from llactr.semantics import FieldValueVectors, FieldVectors, ValueVectors


@pytest.fixture
def vectors() -> FieldVectors:
    drawn = np.random.default_rng(3).standard_normal((3, 26))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    names = ("age", "hour", "title")
    return FieldVectors("toy", "v", "letters", names, names, drawn.astype(np.float32))


@pytest.mark.parametrize("seed", range(20))
def test_permuted_vectors_leave_no_field_its_own(vectors: FieldVectors, seed: int):
    placebo = permuted_fields(vectors, seed)
    rows = [next(k for k in range(3) if np.array_equal(row, vectors.vectors[k])) for row in placebo.vectors]
    assert sorted(rows) == [0, 1, 2]
    assert all(row != k for k, row in enumerate(rows))
    assert placebo.fields == vectors.fields


def test_both_derangements_of_three_fields_occur(vectors: FieldVectors):
    firsts = {permuted_fields(vectors, seed).vectors[0].tobytes() for seed in range(20)}
    assert firsts == {vectors.vectors[1].tobytes(), vectors.vectors[2].tobytes()}


def test_random_vectors_keep_the_norm_and_nothing_else(vectors: FieldVectors):
    placebo = random_fields(vectors, 0)
    assert placebo.vectors.dtype == np.float32
    assert placebo.vectors.shape == vectors.vectors.shape
    np.testing.assert_allclose(
        np.linalg.norm(placebo.vectors, axis=1), np.linalg.norm(vectors.vectors, axis=1), rtol=1e-6
    )
    off = placebo.vectors @ placebo.vectors.T - np.eye(3)
    assert np.abs(off).max() < 0.7


def test_placebos_have_versions_of_their_own_and_repeat(vectors: FieldVectors):
    made = [
        permuted_fields(vectors, 0),
        permuted_fields(vectors, 1),
        random_fields(vectors, 0),
        random_fields(vectors, 1),
    ]
    assert len({vectors.version, *(placebo.version for placebo in made)}) == 5
    assert made[0].encoder == "letters (permuted, seed 0)"
    assert np.array_equal(random_fields(vectors, 1).vectors, made[3].vectors)
    assert permuted_fields(vectors, 1).version == made[1].version


def test_one_field_cannot_be_permuted_fields():
    one = FieldVectors("toy", "v", "e", ("a",), ("aaa",), np.ones((1, 1), np.float32))
    with pytest.raises(ValueError, match="one field cannot trade its vector"):
        permuted_fields(one, 0)


def _vectors() -> ValueVectors:
    drawn = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    return ValueVectors("films", "v", "e", {"title": FieldValueVectors(tuple("abcdef"), drawn)})


def test_placebos_keep_shape_and_lose_meaning() -> None:
    real = _vectors()
    permuted, drawn = permuted_values(real, 1, {}), random_values(real, 1, {})
    rows = {tuple(row) for row in real.fields["title"].vectors.tolist()}
    assert {tuple(row) for row in permuted.fields["title"].vectors.tolist()} == rows
    assert not np.array_equal(permuted.fields["title"].vectors, real.fields["title"].vectors)
    assert np.allclose(np.linalg.norm(drawn.fields["title"].vectors, axis=1), 1)
    assert len({real.version, permuted.version, drawn.version, permuted_values(real, 2, {}).version}) == 4
    assert np.array_equal(permuted_values(real, 1, {}).fields["title"].vectors, permuted.fields["title"].vectors)


def test_bag_of_words_counts_words_that_two_values_share() -> None:
    texts = {"title": dict(zip("abcdef", ["red car", "red bus", "Blue car", "car car", "ship", "blue"], strict=True))}
    words = bag_of_words_values(_vectors(), 0, texts).fields["title"].vectors
    # In the order of frequency, then of letters: car (3), blue (2), red (2); bus and ship occur once.
    half = 2**-0.5
    expected = [[half, 0, half], [0, 0, 1], [half, half, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(words, expected, atol=1e-6)


def test_what_placebos_act_on() -> None:
    assert list(PLACEBOS) == ["permuted", "random", "words"]
    acts = {name: (one.acts_on(fields=True, values=False), one.acts_on(fields=False, values=True))
            for name, one in PLACEBOS.items()}  # fmt: skip
    assert acts == {"permuted": (True, True), "random": (True, True), "words": (False, True)}
    assert not any(one.acts_on(fields=False, values=False) for one in PLACEBOS.values())


def test_a_permutation_stays_within_its_field() -> None:
    """With ids of the fields in the vectors' first number, each field keeps its own set."""
    shapes = {"title": 5, "genre": 4}
    fields = {
        name: FieldValueVectors(
            tuple(map(str, range(count))),
            np.array([[number, row] for row in range(count)], np.float32),
        )
        for number, (name, count) in enumerate(shapes.items())
    }
    found = permuted_values(ValueVectors("films", "v", "e", fields), 0, {})
    for number, (name, count) in enumerate(shapes.items()):
        rows = found.fields[name].vectors.tolist()
        assert found.fields[name].values == tuple(map(str, range(count)))
        assert sorted(rows) == [[number, row] for row in range(count)]
    assert any(found.fields[name].vectors[:, 1].tolist() != list(range(n)) for name, n in shapes.items())


def test_a_new_placebo_is_a_function_and_a_line(monkeypatch) -> None:
    """Its arms can be named, and the verdict speaks of it."""

    def reversed_fields(vectors: FieldVectors, seed: int) -> FieldVectors:
        return vectors

    monkeypatch.setitem(PLACEBOS, "reversed", Placebo("reversed", "vectors back to front", fields=reversed_fields))
    arm = Arm.parse("paper reversed")
    assert arm in Arm.parse("paper").placebos
    assert arm not in Arm.parse("values").placebos
    aucs = {Arm(): 0.7, Arm.parse("paper"): 0.72, arm: 0.72}
    runs = [
        Run(one, 0, seed, {"all": {"auc": auc + seed / 1000}})
        for one, auc in aucs.items() for seed in range(3)
    ]  # fmt: skip
    (said,) = compare("FM", runs).judgements
    assert said.verdict is Verdict.PLACEBO
    assert "it is not ahead of vectors back to front (0.0000" in said.sentence
