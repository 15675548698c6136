"""How alike the fields are to the language model: cosines, nearest fields, and how many directions they use.

Vectors of a tuned encoder share a large common part, which makes every raw cosine high; centering takes it away.
Letters: F fields, L semantic dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from llactr.diagnostics.index import Device, build_index
from llactr.errors import DataError

if TYPE_CHECKING:
    from llactr.semantics import FieldVectors

__all__ = ["Neighbour", "Similarity", "effective_rank", "nearest_fields", "neighbours_of", "similarity", "unit_rows"]

_ZERO = 1e-6  # a vector this small against the largest one has no direction worth a cosine


@dataclass(frozen=True)
class Neighbour:
    """A field and its cosine to the field that was asked about."""

    field: str
    cosine: float


@dataclass(frozen=True)
class Similarity:
    """Cosines between the fields of one semantics version.

    Attributes:
        matrix: float32 of shape F X F, in the order of `fields`; a degenerate field has zeros, also to itself.
        degenerate: fields whose vector is zero (after centering, if centered) and that have no cosine.
        mean_off_diagonal: mean cosine of two different fields.
        effective_rank: exp of the entropy of the normalised singular values, from 1 to min(F, L).
        device: where FAISS searched, and `device_reason` why there.
    """

    fields: tuple[str, ...]
    matrix: NDArray[np.float32]
    centered: bool
    degenerate: tuple[str, ...]
    mean_off_diagonal: float
    effective_rank: float
    device: Literal["cpu", "gpu"]
    device_reason: str


def similarity(vectors: FieldVectors, *, centered: bool, device: Device = "auto") -> Similarity:
    """Cosines of every pair of fields, by one FAISS search.

    Args:
        vectors: the field vectors of one semantics version.
        centered: subtract the fields' mean vector first, and normalise again. With two fields the centered cosine
            is always -1: their mean lies between them.
        device: where FAISS searches.

    Raises:
        DataError: there is no field, or a vector holds NaN or an infinity.
    """
    unit, degenerate = unit_rows(_checked(vectors), centered=centered)  # F X L
    count = len(unit)
    index = build_index(unit, device=device)
    scores, ids = index.search(unit, k=count)
    matrix: NDArray[np.float32] = np.zeros((count, count), dtype=np.float32)
    np.put_along_axis(matrix, ids, np.clip(scores, -1, 1), axis=1)
    matrix = ((matrix + matrix.T) / 2).astype(np.float32)
    return Similarity(
        fields=tuple(vectors.fields),
        matrix=matrix,
        centered=centered,
        degenerate=tuple(name for name, zero in zip(vectors.fields, degenerate, strict=True) if zero),
        mean_off_diagonal=float((matrix.sum() - matrix.trace()) / (count * (count - 1))) if count > 1 else 0.0,
        effective_rank=effective_rank(unit),
        device=index.device,
        device_reason=index.reason,
    )


def nearest_fields(
    vectors: FieldVectors, *, k: int = 3, centered: bool = True, device: Device = "auto"
) -> dict[str, tuple[Neighbour, ...]]:
    """For each field the k most similar other fields, the nearest first; fewer where there are not k others.

    Degenerate fields (see `Similarity`) have no neighbours and are none. Equal cosines keep the fields' order.
    """
    if k < 1:
        raise DataError(f"k is {k}: ask for at least one nearest field")
    measured = similarity(vectors, centered=centered, device=device)
    return neighbours_of(measured, k=k)


def neighbours_of(measured: Similarity, *, k: int) -> dict[str, tuple[Neighbour, ...]]:
    """The nearest fields, read off a similarity that was measured already."""
    dead = set(measured.degenerate)
    found: dict[str, tuple[Neighbour, ...]] = {}
    for i, name in enumerate(measured.fields):
        order = np.argsort(-measured.matrix[i], kind="stable")
        others = [int(j) for j in order if j != i and measured.fields[j] not in dead]
        chosen = [] if name in dead else others[:k]
        found[name] = tuple(Neighbour(measured.fields[j], float(measured.matrix[i, j])) for j in chosen)
    return found


def effective_rank(vectors: NDArray[np.float32]) -> float:
    """Effective rank of an F X L array (Roy and Vetterli, 2007): exp(entropy of singular values / their sum).

    1 when all fields point the same way, F when they are orthogonal, 0 when all are zero.
    """
    values = np.linalg.svd(vectors.astype(np.float64), compute_uv=False)
    total = values.sum()
    if total <= 0:
        return 0.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def unit_rows(vectors: NDArray[np.float64], *, centered: bool) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rows of unit length, after subtracting the mean row if `centered`.

    Returns:
        float32 F X L, zero rows staying zero; and which rows those are, bool F.
    """
    largest = np.linalg.norm(vectors, axis=1).max(initial=0.0)
    moved = vectors - vectors.mean(axis=0) if centered else vectors
    norms = np.linalg.norm(moved, axis=1)
    zero = norms <= _ZERO * largest
    unit = np.where(zero[:, None], 0.0, moved / np.where(zero, 1.0, norms)[:, None])
    return unit.astype(np.float32), zero


def _checked(vectors: FieldVectors) -> NDArray[np.float64]:
    array = np.asarray(vectors.vectors, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != len(vectors.fields) or array.size == 0:
        raise DataError(
            f"field vectors of {vectors.dataset!r} have shape {array.shape} for {len(vectors.fields)} fields: "
            "expected one vector a field; run 'llactr encode' again"
        )
    if not np.isfinite(array).all():
        bad = vectors.fields[int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])]
        raise DataError(f"the vector of field {bad!r} holds NaN or an infinity: run 'llactr encode' again")
    return array
