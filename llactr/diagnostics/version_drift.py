"""Drift of the fields' meaning between two semantics versions.

Two adapters span two spaces, so the same field's two vectors cannot be compared as they are. What can be compared is
the arrangement of the fields among themselves: after the best rotation of one space onto the other (orthogonal
Procrustes), through each field's nearest fields, and through the correlation of the two cosine matrices.
Letters: F fields, L and M the two semantic dims, R = min(F, dim).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llactr.diagnostics.cosines import neighbours_of, similarity, unit_rows
from llactr.diagnostics.index import Device
from llactr.errors import DataError

if TYPE_CHECKING:
    from llactr.semantics import FieldVectors

__all__ = ["Drift", "FieldDrift", "aligned_cosines", "drift"]


@dataclass(frozen=True)
class FieldDrift:
    """One field's drift.

    Attributes:
        aligned_cosine: cosine of the two vectors after rotating the old space onto the new one; 1 is no drift.
        kept_neighbours: share of the old nearest fields that are still among the nearest; 1 is no drift.
        redescribed: the field's description differs between the versions.
    """

    field: str
    aligned_cosine: float
    kept_neighbours: float
    neighbours_before: tuple[str, ...]
    neighbours_after: tuple[str, ...]
    redescribed: bool


@dataclass(frozen=True)
class Drift:
    """Drift between two versions, over the fields that both have.

    Attributes:
        fields: one entry a shared field, the least alike (by aligned cosine) first.
        mean_aligned_cosine: mean over those fields.
        matrix_correlation: Pearson correlation of the cosines of all pairs; None for fewer than three fields or
            when one version's cosines are all equal.
        added, removed: fields that only the new or only the old version has.
    """

    dataset: str
    before: str
    after: str
    fields: tuple[FieldDrift, ...]
    mean_aligned_cosine: float
    matrix_correlation: float | None
    added: tuple[str, ...]
    removed: tuple[str, ...]


def drift(
    before: FieldVectors, after: FieldVectors, *, k: int = 3, centered: bool = True, device: Device = "auto"
) -> Drift:
    """Compares two semantics versions of one dataset; the semantic dims may differ.

    Args:
        before: the old version.
        after: the new version.
        k: how many nearest fields make a neighbourhood.
        centered: compare what is left after subtracting each version's mean vector; the common part of tuned
            vectors would otherwise make everything look unchanged.
        device: where FAISS searches.

    Raises:
        DataError: the versions are of two datasets, or share no field.
    """
    if before.dataset != after.dataset:
        raise DataError(f"drift compares two versions of one dataset, got {before.dataset!r} and {after.dataset!r}")
    shared = tuple(name for name in before.fields if name in set(after.fields))
    if not shared:
        raise DataError(f"versions {before.version} and {after.version} of {before.dataset!r} share no field")
    old, new = before.select(shared), after.select(shared)
    old_cosines = similarity(old, centered=centered, device=device)
    new_cosines = similarity(new, centered=centered, device=device)
    old_near, new_near = neighbours_of(old_cosines, k=k), neighbours_of(new_cosines, k=k)
    aligned = aligned_cosines(
        unit_rows(np.asarray(old.vectors, dtype=np.float64), centered=centered)[0],
        unit_rows(np.asarray(new.vectors, dtype=np.float64), centered=centered)[0],
    )
    fields = []
    for i, name in enumerate(shared):
        was = tuple(n.field for n in old_near[name])
        now = tuple(n.field for n in new_near[name])
        kept = len(set(was) & set(now)) / len(was) if was else float(not now)
        changed = old.descriptions[i] != new.descriptions[i]
        fields.append(FieldDrift(name, float(aligned[i]), kept, was, now, changed))
    return Drift(
        dataset=before.dataset,
        before=before.version,
        after=after.version,
        fields=tuple(sorted(fields, key=lambda found: found.aligned_cosine)),
        mean_aligned_cosine=float(aligned.mean()),
        matrix_correlation=_correlation(old_cosines.matrix, new_cosines.matrix),
        added=tuple(name for name in after.fields if name not in shared),
        removed=tuple(name for name in before.fields if name not in shared),
    )


def aligned_cosines(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each row's two vectors after the rotation of `old` that brings it nearest to `new`.

    Orthogonal Procrustes (Schoenemann, 1966): the rotation U V' of the SVD U S V' = old' new. Both arrays are first
    written in a basis of their own rows, so the SVD is of an R X R matrix whatever the dims.

    Args:
        old: unit rows, F X L. Zero rows have cosine 0.
        new: unit rows, F X M.
    """
    old_rows, new_rows = _own_basis(old), _own_basis(new)
    width = max(old_rows.shape[1], new_rows.shape[1])
    old_rows = np.pad(old_rows, ((0, 0), (0, width - old_rows.shape[1])))  # F X R
    new_rows = np.pad(new_rows, ((0, 0), (0, width - new_rows.shape[1])))  # F X R
    left, _, right = np.linalg.svd(old_rows.T @ new_rows)
    return np.clip(((old_rows @ left @ right) * new_rows).sum(axis=1), -1, 1)


def _own_basis(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Coordinates of the rows in an orthonormal basis of their span: F X min(F, L)."""
    return np.linalg.qr(rows.astype(np.float64).T)[1].T


def _correlation(old: NDArray[np.float32], new: NDArray[np.float32]) -> float | None:
    upper = np.triu_indices(len(old), k=1)
    a, b = old[upper].astype(np.float64), new[upper].astype(np.float64)
    if len(a) < 3 or np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])
