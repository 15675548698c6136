"""Placebos: vectors without the meaning. What an arm gains with them, it does not gain from a language model's reading.

A new one is a function and a line in `PLACEBOS`: every arm that has the vectors it acts on can then be run with it, and
the verdict and the report know its name.

Legend: K fields, N values, L semantic dim.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llactr.manifest import content_hash
from llactr.semantics.version import VERSION_DIGITS

if TYPE_CHECKING:
    from llactr.ctr.history_arms import HistoryArm
    from llactr.history import ItemVectors
    from llactr.semantics.fields import FieldVectors
    from llactr.semantics.values import FieldValueVectors, ValueVectors

__all__ = [
    "PLACEBOS",
    "Placebo",
    "Texts",
    "bag_of_words_values",
    "permuted_fields",
    "permuted_items",
    "permuted_values",
    "random_fields",
    "random_items",
    "random_values",
]

Texts = Mapping[str, Mapping[str, str]]
"""Field -> value -> text; see `llactr.semantics.value_texts`."""

_WORD = re.compile(r"\w+")
_WORDS_KEPT = 512


@dataclass(frozen=True)
class Placebo:
    """A way to take the meaning out of vectors.

    Attributes:
        name: the word that an arm's name ends in.
        phrase: what it is called in a sentence.
        fields: from field vectors and a seed to those in their place; None leaves an arm's field vectors as they are.
        values: from value vectors, a seed and the values' texts to those in their place; None leaves them.
        items: from the fitted vectors of items that taste reads, and a seed, to those in their place; None leaves them.
        reads_texts: it reads the texts itself, so it has their words but no encoder: it is the placebo of tuned and
            untuned value vectors alike, and an arm that ties with it alone still owes its gain to words.
    """

    name: str
    phrase: str
    fields: Callable[[FieldVectors, int], FieldVectors] | None = None
    values: Callable[[ValueVectors, int, Texts], ValueVectors] | None = None
    items: Callable[[ItemVectors, int], ItemVectors] | None = None
    reads_texts: bool = False

    def acts_on(self, *, fields: bool = False, values: bool = False, history: HistoryArm | None = None) -> bool:
        """Whether it changes anything where there are field vectors, value vectors, or taste by vectors of items."""
        taste = history is not None and history.reads_vectors and self.items is not None
        words = history is not None and history.reads_texts and self.reads_texts
        return (fields and self.fields is not None) or (values and self.values is not None) or taste or words


def permuted_fields(vectors: FieldVectors, seed: int) -> FieldVectors:
    """The same vectors on the wrong fields: no field keeps its own.

    The permutation is uniform among those without a fixed point. With two fields there is only one.

    Args:
        vectors: at least two fields.
        seed: of the permutation.

    Raises:
        ValueError: there is one field only.
    """
    count = len(vectors.fields)
    if count < 2:
        raise ValueError("one field cannot trade its vector with another")
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    while np.any(order == np.arange(count)):  # ends after e = 2.7 draws on average
        order = rng.permutation(count)
    return _named(replace(vectors, vectors=vectors.vectors[order]), "permuted", seed)


def random_fields(vectors: FieldVectors, seed: int) -> FieldVectors:
    """Vectors in random directions, each as long as the one whose place it takes.

    Args:
        vectors: what is imitated in shape and norm.
        seed: of the directions.
    """
    drawn = np.random.default_rng(seed).standard_normal(vectors.vectors.shape)  # (K, L)
    length = np.linalg.norm(vectors.vectors, axis=1, keepdims=True)  # (K, 1)
    drawn *= length / np.linalg.norm(drawn, axis=1, keepdims=True)
    return _named(replace(vectors, vectors=drawn.astype(np.float32)), "random", seed)


def permuted_values(vectors: ValueVectors, seed: int, _: Texts) -> ValueVectors:
    """The same vectors on the wrong values, shuffled within each field."""
    rng = np.random.default_rng(seed)
    return _changed(vectors, "permuted", seed, lambda _, one: one.vectors[rng.permutation(len(one.values))])


def random_values(vectors: ValueVectors, seed: int, _: Texts) -> ValueVectors:
    """Vectors of length 1 in random directions."""
    rng = np.random.default_rng(seed)

    def drawn(_: str, one: FieldValueVectors) -> NDArray[np.float32]:
        directions = rng.standard_normal(one.vectors.shape)
        return (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)

    return _changed(vectors, "random", seed, drawn)


def permuted_items(vectors: ItemVectors, seed: int) -> ItemVectors:
    """The same vectors on the wrong items."""
    return vectors.permuted(seed)


def random_items(vectors: ItemVectors, seed: int) -> ItemVectors:
    """Vectors in random directions, each direction as wide as the true ones."""
    return vectors.random(seed)


def bag_of_words_values(vectors: ValueVectors, _: int, texts: Texts) -> ValueVectors:
    """Vectors that only count words: those of the same texts that occur in at least two of a field's values.

    Args:
        vectors: names the fields and values.
        texts: of every value.
    """
    return _changed(vectors, "bag of words", 0, lambda name, one: _words([texts[name][value] for value in one.values]))


PLACEBOS: dict[str, Placebo] = {
    placebo.name: placebo
    for placebo in (
        Placebo("permuted", "permuted vectors", permuted_fields, permuted_values, permuted_items),
        Placebo("random", "random vectors", random_fields, random_values, random_items),
        Placebo("words", "a bag of the same words", values=bag_of_words_values, reads_texts=True),
    )
}
"""All placebos by name, in the order in which arms are listed."""


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


def _named(vectors: FieldVectors, placebo: str, seed: int) -> FieldVectors:
    version = content_hash([placebo, seed, vectors.version])[:VERSION_DIGITS]
    return replace(vectors, version=version, encoder=f"{vectors.encoder} ({placebo}, seed {seed})")


def _changed(
    vectors: ValueVectors, placebo: str, seed: int, make: Callable[[str, FieldValueVectors], NDArray[np.float32]]
) -> ValueVectors:
    fields = {name: replace(one, vectors=make(name, one)) for name, one in vectors.fields.items()}
    version = content_hash([placebo, seed, vectors.version])[:VERSION_DIGITS]
    return replace(vectors, version=version, encoder=f"{vectors.encoder} ({placebo}, seed {seed})", fields=fields)
