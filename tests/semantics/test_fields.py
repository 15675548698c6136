from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from llactr.errors import DataError
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
