"""Placebo vectors: what an enhancement gains with them, it does not gain from meaning.

Legend: K fields, L semantic dim.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llactr.manifest import content_hash
from llactr.semantics.fields import FieldVectors
from llactr.semantics.version import VERSION_DIGITS

__all__ = ["permuted", "random_like"]


def permuted(vectors: FieldVectors, seed: int) -> FieldVectors:
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


def random_like(vectors: FieldVectors, seed: int) -> FieldVectors:
    """Vectors in random directions, each as long as the one whose place it takes.

    Args:
        vectors: what is imitated in shape and norm.
        seed: of the directions.
    """
    drawn = np.random.default_rng(seed).standard_normal(vectors.vectors.shape)  # (K, L)
    length = np.linalg.norm(vectors.vectors, axis=1, keepdims=True)  # (K, 1)
    drawn *= length / np.linalg.norm(drawn, axis=1, keepdims=True)
    return _named(replace(vectors, vectors=drawn.astype(np.float32)), "random", seed)


def _named(vectors: FieldVectors, arm: str, seed: int) -> FieldVectors:
    version = content_hash([arm, seed, vectors.version])[:VERSION_DIGITS]
    return replace(vectors, version=version, encoder=f"{vectors.encoder} ({arm}, seed {seed})")
