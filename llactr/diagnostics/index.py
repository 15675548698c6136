"""A FAISS inner-product index over field vectors: on the GPU after a real search succeeded there, else on the CPU.

Letters: N vectors in the index, Q queries, L semantic dim, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llactr.device import FaissDevice as Device
from llactr.device import choose_faiss_device as choose_device
from llactr.device import faiss_on_gpu, import_faiss

__all__ = ["Device", "InnerProductIndex", "build_index", "choose_device"]


@dataclass(frozen=True)
class InnerProductIndex:
    """An exact index; `device` is where it lives, `reason` says in words why it lives there."""

    device: Literal["cpu", "gpu"]
    reason: str
    size: int
    _index: Any = field(repr=False)

    def search(self, queries: NDArray[np.float32], *, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k vectors of the largest inner product with each query.

        Args:
            queries: float32 array of shape Q X L.
            k: how many, at most `size`.

        Returns:
            Inner products, float32 Q X K, falling; and row numbers, int64 Q X K.
        """
        if not 1 <= k <= self.size:
            raise ValueError(f"k is {k}, expected 1 to {self.size}")
        scores, ids = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return scores, ids


def build_index(vectors: NDArray[np.float32], *, device: Device = "auto") -> InnerProductIndex:
    """An exact inner-product index over float32 vectors of shape N X L.

    Args:
        vectors: what is searched; rows are found by their number.
        device: `auto` takes a GPU if a probe search there gives the CPU's answer, else the CPU; `gpu` insists.

    Raises:
        InputError: FAISS is not installed, or `gpu` was asked for and does not work.
    """
    faiss = import_faiss()
    where, reason = choose_device(device)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    if where == "gpu":
        index = faiss_on_gpu(faiss, index)
    return InnerProductIndex(where, reason, len(vectors), index)
