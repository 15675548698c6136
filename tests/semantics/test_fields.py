from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from llactr.errors import DataError
from llactr.evaluation.placebos import permuted, random_like
from llactr.semantics import FieldVectors, Prompts, encode_fields, semantics_version
from llactr.spec import DatasetSpec
from tests import specs
from tests.specs import field


class FakeEncoder:
    """Vectors of letter counts."""

    name = "letters"
    dim = 26

    def __init__(self, fingerprint: str = "f0", prompts: Prompts | None = None) -> None:
        self.fingerprint = fingerprint
        self.prompts = prompts or Prompts()

    def encode(self, texts, *, batch_size=64, progress=None):
        assert batch_size >= len(texts)
        counts = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def spec_of(**descriptions: str) -> DatasetSpec:
    fields = [field(name, description=description) for name, description in descriptions.items()]
    return specs.spec_of(*fields, name="toy", keys={})


SPEC = spec_of(age="age of the user", hour="hour of the day", title="title of the film")


@pytest.fixture
def vectors() -> FieldVectors:
    return encode_fields(SPEC, FakeEncoder())


def test_fields_are_encoded_as_sentences_of_their_descriptions(vectors: FieldVectors):
    expected = FakeEncoder().encode(["The field is: age of the user.", "The field is: hour of the day."])
    assert np.array_equal(vectors.vectors[:2], expected)
    assert (vectors.dataset, vectors.encoder, vectors.dim) == ("toy", "letters", 26)
    assert vectors.fields == ("age", "hour", "title")
    assert vectors.descriptions[2] == "title of the film"


def test_the_version_is_of_everything_that_vectors_depend_on(vectors: FieldVectors):
    def version(spec: DatasetSpec, encoder: FakeEncoder) -> str:
        return encode_fields(spec, encoder).version

    narrow = FakeEncoder()
    narrow.dim = 25
    assert re.fullmatch(r"[0-9a-f]{16}", vectors.version)
    assert version(SPEC, FakeEncoder()) == vectors.version
    others = {
        version(SPEC, FakeEncoder("f1")),
        version(spec_of(age="years of the user", hour="hour of the day", title="title of the film"), FakeEncoder()),
        version(spec_of(hour="hour of the day", age="age of the user", title="title of the film"), FakeEncoder()),
        version(spec_of(years="age of the user", hour="hour of the day", title="title of the film"), FakeEncoder()),
        semantics_version(narrow, SPEC.field_names, vectors.descriptions),
    }
    assert len(others | {vectors.version}) == 6


def test_save_and_load(vectors: FieldVectors, tmp_path: Path):
    vectors.save(tmp_path / "a 'b'")
    again = FieldVectors.load(tmp_path / "a 'b'")
    assert np.array_equal(again.vectors, vectors.vectors)
    assert (again.dataset, again.version, again.encoder) == (vectors.dataset, vectors.version, vectors.encoder)
    assert (again.fields, again.descriptions) == (vectors.fields, vectors.descriptions)


def test_select_keeps_vectors_with_their_fields(vectors: FieldVectors):
    chosen = vectors.select(["title", "age"])
    assert chosen.fields == ("title", "age")
    assert chosen.descriptions == ("title of the film", "age of the user")
    assert np.array_equal(chosen.vectors, vectors.vectors[[2, 0]])
    assert chosen.version == vectors.version
    with pytest.raises(DataError, match="has no vector for field 'price': run 'llactr encode'"):
        vectors.select(["age", "price"])


def test_damaged_files(vectors: FieldVectors, tmp_path: Path):
    with pytest.raises(DataError, match=r"the field vectors in .* cannot be read .*: run 'llactr encode' again"):
        FieldVectors.load(tmp_path)
    vectors.save(tmp_path)
    stored = tmp_path / "field_vectors.safetensors"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=r"field_vectors\.safetensors is not the file that field_vectors\.json names"):
        FieldVectors.load(tmp_path)
    stored.write_bytes(whole)
    meta = tmp_path / "field_vectors.json"
    content = json.loads(meta.read_text())
    meta.write_text(json.dumps({**content, "fields": ["age"]}))
    with pytest.raises(DataError, match="3 field vectors came with 1 names and 3 descriptions"):
        FieldVectors.load(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.eye(2, 4), "field vectors are float64 of shape"),
        (np.zeros(4, np.float32), r"are float32 of shape \(4,\), expected float32 of shape \(K, L\)"),
        (np.array([[1, 0], [0, 2]], np.float32), "the vector of field 'b' has length 2, expected 1"),
        (np.array([[1, 0], [0, np.nan]], np.float32), "the vector of field 'b' has length nan, expected 1"),
    ],
)
def test_vectors_that_are_none(wrong: np.ndarray, message: str):
    with pytest.raises(DataError, match=message):
        FieldVectors("toy", "v", "e", ("a", "b"), ("aaa", "bbb"), wrong)


@pytest.mark.parametrize("seed", range(20))
def test_permuted_vectors_leave_no_field_its_own(vectors: FieldVectors, seed: int):
    placebo = permuted(vectors, seed)
    rows = [next(k for k in range(3) if np.array_equal(row, vectors.vectors[k])) for row in placebo.vectors]
    assert sorted(rows) == [0, 1, 2]
    assert all(row != k for k, row in enumerate(rows))
    assert placebo.fields == vectors.fields


def test_both_derangements_of_three_fields_occur(vectors: FieldVectors):
    firsts = {permuted(vectors, seed).vectors[0].tobytes() for seed in range(20)}
    assert firsts == {vectors.vectors[1].tobytes(), vectors.vectors[2].tobytes()}


def test_random_vectors_keep_the_norm_and_nothing_else(vectors: FieldVectors):
    placebo = random_like(vectors, 0)
    assert placebo.vectors.dtype == np.float32
    assert placebo.vectors.shape == vectors.vectors.shape
    np.testing.assert_allclose(
        np.linalg.norm(placebo.vectors, axis=1), np.linalg.norm(vectors.vectors, axis=1), rtol=1e-6
    )
    off = placebo.vectors @ placebo.vectors.T - np.eye(3)
    assert np.abs(off).max() < 0.7


def test_placebos_have_versions_of_their_own_and_repeat(vectors: FieldVectors):
    made = [permuted(vectors, 0), permuted(vectors, 1), random_like(vectors, 0), random_like(vectors, 1)]
    assert len({vectors.version, *(placebo.version for placebo in made)}) == 5
    assert made[0].encoder == "letters (permuted, seed 0)"
    assert np.array_equal(random_like(vectors, 1).vectors, made[3].vectors)
    assert permuted(vectors, 1).version == made[1].version


def test_one_field_cannot_be_permuted():
    one = FieldVectors("toy", "v", "e", ("a",), ("aaa",), np.ones((1, 1), np.float32))
    with pytest.raises(ValueError, match="one field cannot trade its vector"):
        permuted(one, 0)
