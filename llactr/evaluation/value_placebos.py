"""Placebo value vectors: what an arm gains with them, it does not gain from a language model's reading.

Legend: N values, L semantic dim.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from llactr.manifest import content_hash
from llactr.semantics.values import FieldValueVectors, ValueVectors
from llactr.semantics.version import VERSION_DIGITS

__all__ = ["bag_of_words_values", "permuted_values", "random_values"]

_WORD = re.compile(r"\w+")
_WORDS_KEPT = 512


def permuted_values(vectors: ValueVectors, seed: int) -> ValueVectors:
    """The same vectors on the wrong values, shuffled within each field."""
    rng = np.random.default_rng(seed)
    return _changed(vectors, "permuted", seed, lambda _, one: one.vectors[rng.permutation(len(one.values))])


def random_values(vectors: ValueVectors, seed: int) -> ValueVectors:
    """Vectors of length 1 in random directions."""
    rng = np.random.default_rng(seed)

    def drawn(_: str, one: FieldValueVectors) -> NDArray[np.float32]:
        directions = rng.standard_normal(one.vectors.shape)
        return (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)

    return _changed(vectors, "random", seed, drawn)


def bag_of_words_values(vectors: ValueVectors, texts: Mapping[str, Mapping[str, str]]) -> ValueVectors:
    """Vectors that only count words: those of the same texts that occur in at least two of a field's values.

    Args:
        vectors: names the fields and values.
        texts: field -> value -> text; see `value_texts`.
    """
    return _changed(vectors, "bag of words", 0, lambda name, one: _words([texts[name][value] for value in one.values]))


def _words(texts: Sequence[str]) -> NDArray[np.float32]:
    """(N, W) unit rows over the W most frequent words; zeros where a text has none of them."""
    split = [_WORD.findall(text.lower()) for text in texts]
    frequency = Counter(word for words in split for word in set(words))
    kept = sorted((-count, word) for word, count in frequency.items() if count > 1)[:_WORDS_KEPT]
    place = {word: column for column, (_, word) in enumerate(kept)}
    counts = np.zeros((len(texts), max(len(place), 1)), np.float32)
    for row, words in enumerate(split):
        for word in words:
            if word in place:
                counts[row, place[word]] += 1
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


def _changed(
    vectors: ValueVectors, arm: str, seed: int, make: Callable[[str, FieldValueVectors], NDArray[np.float32]]
) -> ValueVectors:
    fields = {name: FieldValueVectors(one.values, make(name, one)) for name, one in vectors.fields.items()}
    version = content_hash([arm, seed, vectors.version])[:VERSION_DIGITS]
    return replace(vectors, version=version, encoder=f"{vectors.encoder} ({arm}, seed {seed})", fields=fields)
