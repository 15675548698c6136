from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llactr.errors import DataError
from llactr.semantics import FieldValueVectors, encode_pieces, new_pieces, value_texts, values_version
from llactr.spec import DatasetSpec
from tests.specs import field, spec_of

FIELDS = (
    field("person", "user"),
    field("film", "item", value_text=["title", "price", "tags"]),
    field("title", "item", description="its title", value_text=True),
    field("price", "item", "numeric", description="its price"),
    field("tags", "item", "multi_valued", description="its tags", separator="|", value_text=True),
    field("device", value_text=True),
)


def _spec(**changes: Any) -> DatasetSpec:
    return spec_of(*FIELDS, name="films", tables={"item": "films"}, **changes)


EVENTS = pa.table({"person": ["p", "q"], "film": ["1", "2"], "device": ["tv", None]})
FILMS = pa.table(
    {
        "film": ["2", "1", "3", "1"],
        "title": ["Heat ", "Old", None, "New"],
        "price": [9.5, 3.0, None, 3.0],
        "tags": ["a| b", "c", None, ""],
    }
)


class _Counting:
    """An encoder that counts letters, and remembers what it was asked."""

    name, dim, fingerprint = "counting", 3, "f"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts, *, batch_size=64, progress=None):
        self.asked += texts
        if progress:
            progress(len(texts), len(texts))
        return np.array([[len(text), text.count("a"), 1] for text in texts], np.float32)


def test_the_text_of_a_value_is_description_and_value() -> None:
    texts = value_texts(_spec(), EVENTS, {"item": FILMS})
    assert list(texts) == ["film", "title", "tags", "device"]
    assert texts["title"] == {"Heat ": "its title: Heat ", "New": "its title: New", "Old": "its title: Old"}
    assert texts["tags"] == {"a": "its tags: a", "b": "its tags: b", "c": "its tags: c"}
    assert texts["device"] == {"tv": "the device: tv"}


def test_a_key_reads_other_columns_and_the_last_row_counts() -> None:
    texts = value_texts(_spec(), EVENTS, {"item": FILMS})["film"]
    assert texts == {"1": "the film: New, 3", "2": "the film: Heat, 9.5, a b"}, "film 3 has no words"


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="no column 'title', it has"):
        value_texts(_spec(), EVENTS, {"item": FILMS.drop_columns(["title"])})


def test_each_distinct_text_is_encoded_once_and_only_new_ones() -> None:
    texts = {"x": {"1": "aa", "2": "b", "3": "aa"}, "y": {"1": "b", "4": "long text"}}
    encoder, kept = _Counting(), []
    pieces = new_pieces(texts, {}, texts_per_piece=2)
    assert [[text for text, _ in piece] for piece in pieces] == [["long text", "aa"], ["b"]]
    seen = []
    assert encode_pieces(encoder, pieces, kept.append, progress=lambda done, of: seen.append((done, of))) == 3
    assert sorted(encoder.asked) == ["aa", "b", "long text"]
    assert seen[-1] == (3, 3)
    stored = {
        key: (text, vector) for one in kept for key, text, vector in zip(one.keys, one.texts, one.vectors, strict=True)
    }
    assert set(stored) == {("x", "1"), ("x", "2"), ("x", "3"), ("y", "1"), ("y", "4")}
    for text, vector in stored.values():
        assert vector.tolist() == [len(text), text.count("a"), 1]
    known = {key: text for key, (text, _) in stored.items()}
    assert new_pieces(texts, known) == []
    texts["x"]["2"] = "changed"
    assert new_pieces(texts, known) == [(("changed", (("x", "2"),)),)]


def test_a_killed_run_keeps_its_finished_pieces() -> None:
    """What `keep` has stored before the process ends is not asked for again."""
    texts = {"x": {str(n): f"text {n}" for n in range(10)}}
    encoder, known = _Counting(), {}

    def keep(piece) -> None:
        if len(known) >= 6:
            raise KeyboardInterrupt
        known.update(zip(piece.keys, piece.texts, strict=True))

    with pytest.raises(KeyboardInterrupt):
        encode_pieces(encoder, new_pieces(texts, known, texts_per_piece=3), keep)
    assert len(known) == 6
    again = _Counting()
    encode_pieces(
        again, new_pieces(texts, known), lambda piece: known.update(zip(piece.keys, piece.texts, strict=True))
    )
    assert len(again.asked) == 4
    assert len(known) == 10


def test_the_version_follows_encoder_and_rules_not_values() -> None:
    encoder = _Counting()
    version = values_version(_spec(), encoder)
    assert len(version) == 16
    assert values_version(_spec(description="other words for the same"), encoder) == version
    fields = _spec().model_dump(mode="json")["fields"]
    fields[2]["description"] = "the name"
    assert values_version(_spec(fields=fields), encoder) != version
    encoder.fingerprint = "g"
    assert values_version(_spec(), encoder) != version


def test_vectors_and_values_must_be_equally_many() -> None:
    with pytest.raises(DataError, match="2 values came with vectors of shape"):
        FieldValueVectors(("a", "b"), np.ones((3, 2), np.float32))
