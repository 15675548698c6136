"""From field vectors to gates: kernel ridge regression over the fields, and the pairs of fields, of several data sets.

Fields are alike by the cosine of their vectors, the mean of the teaching sets' vectors taken away first (tuned or not,
vectors share a large part). Pairs (j, k) and (l, m) are alike by (K_jl K_km + K_jm K_kl) / 2. Gates are taught as what
they differ from their set's mean by; what a set has on the whole cannot come from a field's meaning, and the mean of
the sets' means is added. The ridge is the one that is best when each teaching set in turn is left out.

Letters: F fields of all teaching sets, G fields of the set that is guessed, P and Q their pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.fields_over_sets.model import Gates

__all__ = ["Taught", "guessed", "mean_gates"]

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)
Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Taught:
    """A set that teaches: field vectors (F, L), and the gates that its own rows gave."""

    vectors: Array
    gates: Gates


def mean_gates(sets: Sequence[Taught], fields: int) -> Gates:
    """Every field and every pair as the teaching sets' are on the mean: what no vector is needed for."""
    pairs = fields * (fields - 1) // 2
    return Gates(
        np.full(fields, np.mean([one.gates.fields.mean() for one in sets])),
        np.full(pairs, np.mean([one.gates.pairs.mean() for one in sets])),
    )


def guessed(sets: Sequence[Taught], vectors: Array) -> Gates:
    """Gates of a set with vectors (G, L), of which no gate is known."""
    mean = mean_gates(sets, len(vectors))
    return Gates(
        mean.fields + _deviations(sets, vectors, pairs=False), mean.pairs + _deviations(sets, vectors, pairs=True)
    )


def _deviations(sets: Sequence[Taught], vectors: Array, *, pairs: bool) -> Array:
    """What the guessed gates differ from their set's mean by."""
    errors = {ridge: 0.0 for ridge in RIDGES}
    for left in range(len(sets)):
        rest = [one for at, one in enumerate(sets) if at != left]
        truth = _centred(sets[left], pairs=pairs)
        for ridge in RIDGES:
            errors[ridge] += float(np.mean((_solved(rest, sets[left].vectors, ridge, pairs=pairs) - truth) ** 2))
    return _solved(sets, vectors, min(errors, key=lambda ridge: errors[ridge]), pairs=pairs)


def _solved(sets: Sequence[Taught], vectors: Array, ridge: float, *, pairs: bool) -> Array:
    centre = np.concatenate([one.vectors for one in sets]).mean(axis=0)
    known = [_unit(one.vectors - centre) for one in sets]
    new = _unit(vectors - centre)
    teaching = _kernel(known, known, pairs=pairs)
    target = np.concatenate([_centred(one, pairs=pairs) for one in sets])
    dual = np.linalg.solve(teaching + ridge * np.eye(len(target)), target)
    found = _kernel([new], known, pairs=pairs) @ dual
    return np.asarray(found - found.mean())


def _kernel(first: Sequence[Array], second: Sequence[Array], *, pairs: bool) -> Array:
    blocks = [[_pair_kernel(one @ other.T) if pairs else one @ other.T for other in second] for one in first]
    return np.block(blocks)


def _pair_kernel(likeness: Array) -> Array:
    """(P, Q) of (F, G)."""
    j, k = np.triu_indices(likeness.shape[0], 1)
    l, m = np.triu_indices(likeness.shape[1], 1)
    straight = likeness[np.ix_(j, l)] * likeness[np.ix_(k, m)]
    return np.asarray((straight + likeness[np.ix_(j, m)] * likeness[np.ix_(k, l)]) / 2)


def _centred(one: Taught, *, pairs: bool) -> Array:
    gates = one.gates.pairs if pairs else one.gates.fields
    return np.asarray(gates - gates.mean())


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
