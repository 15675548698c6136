"""A FAISS inner-product index over field vectors: on the GPU after a real search succeeded there, else on the CPU.

Letters: N vectors in the index, Q queries, L semantic dim, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llactr.errors import InputError
from llactr.extras import naming_extras

__all__ = ["Device", "InnerProductIndex", "build_index", "choose_device"]

Device = Literal["auto", "cpu", "gpu"]

_PROBE_ROWS, _PROBE_DIM, _PROBE_NEIGHBOURS = 64, 16, 5
_PROBE_MEMORY_BYTES = 16 * 1024 * 1024


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
    faiss = _faiss()
    where, reason = choose_device(device)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    if where == "gpu":
        index = _to_gpu(faiss, index)
    return InnerProductIndex(where, reason, len(vectors), index)


def choose_device(device: Device = "auto") -> tuple[Literal["cpu", "gpu"], str]:
    """Where an index would live, and why in words; `gpu` raises InputError where the GPU does not work."""
    if device not in ("auto", "cpu", "gpu"):
        raise InputError(f"the FAISS device is {device!r}, expected auto, cpu or gpu")
    if device == "cpu":
        return "cpu", "the CPU was asked for"
    failure = _gpu_failure(_faiss())
    if failure is None:
        return "gpu", "a probe search on the GPU gave the CPU's answer"
    if device == "gpu":
        raise InputError(f"FAISS cannot use a GPU: {failure}; use device auto or cpu, or install llactr[gpu]")
    return "cpu", failure


def _gpu_failure(faiss: ModuleType) -> str | None:
    """Why the GPU cannot be used, or None after a search there gave the CPU's answer."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "the installed FAISS is the CPU build"
    try:
        if faiss.get_num_gpus() < 1:
            return "FAISS sees no GPU"
        vectors = np.random.default_rng(0).standard_normal((_PROBE_ROWS, _PROBE_DIM)).astype(np.float32)
        cpu = faiss.IndexFlatIP(_PROBE_DIM)
        cpu.add(vectors)
        expected, expected_ids = cpu.search(vectors, _PROBE_NEIGHBOURS)
        found, found_ids = _to_gpu(faiss, cpu).search(vectors, _PROBE_NEIGHBOURS)
    except Exception as error:  # a driver, a kernel or memory: whatever it is, the CPU works
        return f"a probe search on the GPU failed ({type(error).__name__})"
    if not (np.array_equal(found_ids, expected_ids) and np.allclose(found, expected, rtol=1e-3, atol=1e-3)):
        return "a probe search on the GPU gave another answer than the CPU"
    return None


def _to_gpu(faiss: ModuleType, index: Any) -> Any:
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_PROBE_MEMORY_BYTES)
    moved = faiss.index_cpu_to_gpu(resources, 0, index)
    moved.llactr_resources = resources  # the index does not keep its resources alive by itself
    return moved


def _faiss() -> ModuleType:
    with naming_extras():
        import faiss
    return faiss
