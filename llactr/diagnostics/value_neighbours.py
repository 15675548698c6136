"""How alike the values of a field are to the language model: cosines to the nearest other value, and values alike.

Vectors of a tuned encoder share a large common part, so they are centered first. Of many values a sample is asked for
its neighbours, by an index that is exact while they are few (`llactr.diagnostics.index`); recall against brute force is
measured on a part of the sample and told.

Letters: N values, L semantic dim, Q sampled values.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.diagnostics.index import Device, IndexKind, build_index, exact_neighbours
from llactr.errors import DataError

__all__ = ["ALIKE", "ValueSimilarity", "value_similarity"]

ALIKE = 0.95
_SAMPLED, _CHECKED, _NEIGHBOURS = 2000, 200, 10
_WANTED_RECALL = 0.95
_ZERO = 1e-6
_BLOCK_ROWS = 65_536


class ValueSimilarity(BaseModel):
    """What the vectors of one field's values look like.

    Attributes:
        values: N.
        index: which index was searched; `flat` is exact.
        device: where FAISS searched, and `device_reason` why there.
        recall: share of the ten exact neighbours that it finds, on a part of the sample; 1 for `flat`.
        sampled: Q, at most 2,000.
        nearest: quartiles over the sample of the centered cosine to the nearest other value.
        alike: share of the sample whose nearest other value has a centered cosine of `ALIKE` or more.
        mean_cosine: of two different values, not centered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: int
    index: IndexKind
    device: Literal["cpu", "gpu"]
    device_reason: str
    recall: float
    sampled: int
    nearest: tuple[float, float, float]
    alike: float
    mean_cosine: float


def value_similarity(
    vectors: NDArray[np.float32],
    *,
    device: Device = "auto",
    kind: IndexKind | Literal["auto"] = "auto",
    seed: int = 0,
) -> ValueSimilarity:
    """Measures the vectors of a field's values. Memory: the vectors twice more, once centered and once in the index.

    Args:
        vectors: (N, L) float32, of length 1 each.
        device: where FAISS searches.
        kind: see `build_index`.
        seed: of the sample.

    Raises:
        DataError: there are fewer than two values, or a vector holds NaN or an infinity.
    """
    if vectors.ndim != 2 or len(vectors) < 2:
        raise DataError(f"value vectors of shape {vectors.shape} cannot be compared: at least two values are needed")
    total = np.zeros(vectors.shape[1], np.float64)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        total += vectors[start : start + _BLOCK_ROWS].sum(0, dtype=np.float64)
    if not np.isfinite(total).all():
        raise DataError("a value's vector holds NaN or an infinity: run 'llactr encode --values --force'")
    count = len(vectors)
    unit = _centered(vectors, (total / count).astype(np.float32))
    index = build_index(unit, device=device, kind=kind)
    sample = np.sort(np.random.default_rng(seed).permutation(count)[:_SAMPLED])
    k = min(_NEIGHBOURS, count - 1) + 1  # a value is its own nearest
    checked = unit[sample[:: max(len(sample) // _CHECKED, 1)]]
    recall = 1.0
    if index.kind != "flat":
        recall = index.reach(checked, exact_neighbours(unit, checked, k=k), recall=_WANTED_RECALL)
    scores, rows = index.search(unit[sample], k=k)
    others = np.where(rows == sample[:, None], -1.0, scores).max(1)  # (Q,)
    low, middle, high = np.quantile(others, (0.25, 0.5, 0.75)).tolist()
    return ValueSimilarity(
        values=count,
        index=index.kind,
        device=index.device,
        device_reason=index.reason,
        recall=round(recall, 4),
        sampled=len(sample),
        nearest=(round(low, 4), round(middle, 4), round(high, 4)),
        alike=round(float((others >= ALIKE).mean()), 4),
        # of unit vectors: |their sum|^2 is N plus the cosines of all ordered pairs
        mean_cosine=round(float((total @ total - count) / (count * (count - 1))), 4),
    )


def _centered(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, L) unit rows around the mean, in float32; what lies on the mean stays zero."""
    unit = vectors - mean
    norms = np.sqrt(np.einsum("nl,nl->n", unit, unit))
    zero = norms <= _ZERO
    unit /= np.where(zero, 1, norms)[:, None]
    unit[zero] = 0
    return unit
