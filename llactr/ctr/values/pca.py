"""One PCA per field: the directions in which the vectors of its training values differ.

Legend: N values, L semantic dim, r rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FieldPca", "fit_pca"]


@dataclass(frozen=True)
class FieldPca:
    """z = (vector - mean) components^T * scale.

    Attributes:
        mean: (L,) float32, the mean of the training values' vectors.
        components: (r, L) float32, orthonormal rows, the widest direction first.
        scale: gives the training values' z a root mean square norm of 1.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    scale: float

    @property
    def rank(self) -> int:
        """r."""
        return len(self.components)

    def project(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """z of values: (N, L) to (N, r) float32."""
        z: NDArray[np.float32] = ((vectors - self.mean) @ self.components.T * np.float32(self.scale)).astype(np.float32)
        return z


def fit_pca(vectors: NDArray[np.float32], *, rank: int) -> FieldPca:
    """The PCA of distinct training values' vectors, each counting once; r is smaller where there are few values.

    Each component's largest number is positive, so that the same vectors give the same z on any machine.

    Args:
        vectors: (N, L), N at least 2.
        rank: r at most.
    """
    assert len(vectors) > 1, "a PCA of one value has no direction"
    mean = vectors.mean(axis=0, dtype=np.float64)
    centered = vectors.astype(np.float64) - mean  # N x L
    variances, directions = np.linalg.eigh(centered.T @ centered / len(vectors))  # ascending
    kept = max(1, min(rank, len(vectors) - 1, centered.shape[1]))
    components = directions[:, ::-1][:, :kept].T  # r x L
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = components * np.where(largest < 0, -1.0, 1.0)
    total = float(variances[::-1][:kept].clip(min=0).sum())
    scale = 1 / np.sqrt(total) if total > 1e-12 else 0.0  # equal vectors say nothing
    return FieldPca(mean.astype(np.float32), components.astype(np.float32), float(scale))
