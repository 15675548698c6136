"""A FAISS inner-product index over vectors: on the GPU after a real search succeeded there, else on the CPU.

Up to a size an index is `flat`, which is exact. Above it, where `kind` is `auto`, it is `ivf` (vectors in lists around
centres, of which a search reads some), or, on a GPU where FAISS has it, `cagra` (a graph of neighbours).

Letters: N vectors in the index, Q queries, L semantic dim, K neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llactr.device import FaissDevice as Device
from llactr.device import choose_faiss_device as choose_device
from llactr.device import faiss_on_gpu, import_faiss

__all__ = ["Device", "IndexKind", "InnerProductIndex", "build_index", "choose_device", "exact_neighbours", "recall_of"]

IndexKind = Literal["flat", "ivf", "cagra"]

_EXACT_UP_TO = {"cpu": 200_000, "gpu": 2_000_000}
_LISTS_PER_ROOT, _POINTS_PER_LIST, _STEPS = 2, 64, 10
_BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class InnerProductIndex:
    """An index; `device` is where it lives, `reason` says in words why it lives there, `kind` whether it is exact."""

    device: Literal["cpu", "gpu"]
    reason: str
    size: int
    _index: Any = field(repr=False)
    kind: IndexKind = "flat"

    def search(self, queries: NDArray[np.float32], *, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k vectors of the largest inner product with each query; nearly so where the index is not flat.

        Args:
            queries: float32 array of shape Q X L.
            k: how many, at most `size`.

        Returns:
            Inner products, float32 Q X K, falling; and row numbers, int64 Q X K, -1 where nothing was found.
        """
        if not 1 <= k <= self.size:
            raise ValueError(f"k is {k}, expected 1 to {self.size}")
        scores, ids = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return scores, ids

    def reach(
        self, queries: NDArray[np.float32], expected: NDArray[np.int64], *, recall: float, most_lists: int = 256
    ) -> float:
        """Has an `ivf` index read as many lists as a recall takes, doubling them; others are as they are.

        Args:
            queries: (Q, L) a sample.
            expected: (Q, K) their exact neighbours.
            recall: what is wanted on the sample.
            most_lists: at which number it ends all the same.

        Returns:
            The recall that the sample has.
        """
        if self.kind == "flat":
            return 1.0
        found = recall_of(self.search(queries, k=expected.shape[1])[1], expected)
        while self.kind == "ivf" and found < recall and 2 * self._index.nprobe <= min(most_lists, self._index.nlist):
            self._index.nprobe = 2 * self._index.nprobe
            found = recall_of(self.search(queries, k=expected.shape[1])[1], expected)
        return found


def build_index(
    vectors: NDArray[np.float32], *, device: Device = "auto", kind: IndexKind | Literal["auto"] = "flat"
) -> InnerProductIndex:
    """An inner-product index over float32 vectors of shape N X L.

    Memory: the vectors once more, and of `cagra` a graph.

    Args:
        vectors: what is searched; rows are found by their number.
        device: `auto` takes a GPU if a probe search there gives the CPU's answer, else the CPU; `gpu` insists.
        kind: `flat` is exact; `auto` takes another where N is large, see the module's text.

    Raises:
        InputError: FAISS is not installed, or `gpu` was asked for and does not work.
    """
    faiss = import_faiss()
    where, reason = choose_device(device)
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if kind == "auto":
        kind = _kind_for(len(rows), where, faiss)
    if kind == "cagra":
        try:
            return InnerProductIndex(where, reason, len(rows), _cagra(faiss, rows), kind)
        except Exception as error:  # a build of FAISS without it, a card without memory: lists do it, too
            kind, reason = "ivf", f"{reason}; CAGRA failed there ({type(error).__name__})"
    index = _lists(faiss, rows) if kind == "ivf" else faiss.IndexFlatIP(rows.shape[1])
    if where == "gpu":
        index = faiss_on_gpu(faiss, index, working_memory_bytes=None if kind == "ivf" else 64 * 2**20)
    if kind == "ivf":
        index.train(rows)
    index.add(rows)
    if kind == "ivf":
        index.nprobe = min(8, index.nlist)
    return InnerProductIndex(where, reason, len(rows), index, kind)


def exact_neighbours(vectors: NDArray[np.float32], queries: NDArray[np.float32], *, k: int) -> NDArray[np.int64]:
    """(Q, K) row numbers of the largest inner products by brute force, the largest first, a block of rows at a time."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        products = queries @ vectors[start : start + _BLOCK_ROWS].T  # (Q, b)
        here = np.broadcast_to(np.arange(start, start + products.shape[1]), products.shape)
        scores, ids = np.hstack([best, products]), np.hstack([rows, here])
        kept = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        best, rows = np.take_along_axis(scores, kept, 1), np.take_along_axis(ids, kept, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1)


def recall_of(found: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    """Share of the exact neighbours (Q, K) that are among those found (Q, K)."""
    shared = (found[:, :, None] == expected[:, None, :]).any(1)  # (Q, K)
    return float(shared.mean())


def _kind_for(count: int, where: Literal["cpu", "gpu"], faiss: ModuleType) -> IndexKind:
    if count <= _EXACT_UP_TO[where]:
        return "flat"
    return "cagra" if where == "gpu" and hasattr(faiss, "GpuIndexCagra") else "ivf"


def _lists(faiss: ModuleType, rows: NDArray[np.float32]) -> Any:
    """An empty index of 2 sqrt(N) lists; their centres are found by few steps over few points of each."""
    count = max(min(_LISTS_PER_ROOT * math.isqrt(len(rows)), len(rows) // 39), 1)  # FAISS wants 39 points a list
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], count, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.max_points_per_centroid, index.cp.spherical = _STEPS, _POINTS_PER_LIST, True
    return index


def _cagra(faiss: ModuleType, rows: NDArray[np.float32]) -> Any:
    resources = faiss.StandardGpuResources()
    index = faiss.GpuIndexCagra(resources, rows.shape[1], faiss.METRIC_INNER_PRODUCT, faiss.GpuIndexCagraConfig())
    index.train(rows)
    index.llactr_resources = resources  # the index does not keep its resources alive by itself
    return index
