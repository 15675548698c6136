"""Where work runs: the one picker of a device, which tries what it picks.

A GPU that the driver lists may still fail (another architecture, no memory, a broken driver): it is used once it has
added two numbers (torch) or given the CPU's answer to a search (FAISS).
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llactr.errors import InputError
from llactr.extras import naming_extras

if TYPE_CHECKING:
    import torch

__all__ = ["FaissDevice", "choose_faiss_device", "faiss_on_gpu", "import_faiss", "pick_device", "spread_device"]

FaissDevice = Literal["auto", "cpu", "gpu"]

_PROBE_ROWS, _PROBE_DIM, _PROBE_NEIGHBOURS = 64, 16, 5
_PROBE_MEMORY_BYTES = 16 * 1024 * 1024


def pick_device(name: str) -> torch.device:
    """The torch device of a name; `auto` is the first GPU that can really add two numbers, else the CPU.

    Raises:
        InputError: there is no such device, or it does not work.
    """
    with naming_extras():
        import torch

    if name == "auto":
        return torch.device("cuda") if torch.cuda.is_available() and _adds("cuda") else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r} is not known: choose auto, cpu, cuda or cuda:<number>") from None
    if not _adds(name):
        raise InputError(f"device {name!r} cannot be used on this machine: choose auto or cpu")
    return device


def spread_device(name: str, number: int) -> str:
    """The device of one of several processes: `auto` deals out the GPUs there are, other names stay as they are."""
    import torch

    count = torch.cuda.device_count() if name == "auto" and torch.cuda.is_available() else 0
    return f"cuda:{number % count}" if count else name


def choose_faiss_device(device: FaissDevice = "auto") -> tuple[Literal["cpu", "gpu"], str]:
    """Where a FAISS index would live, and why in words.

    Args:
        device: `auto` takes a GPU if a probe search there gives the CPU's answer, else the CPU; `gpu` insists.

    Raises:
        InputError: FAISS is not installed, the name is none of the three, or `gpu` does not work.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise InputError(f"the FAISS device is {device!r}, expected auto, cpu or gpu")
    if device == "cpu":
        return "cpu", "the CPU was asked for"
    failure = _gpu_failure(import_faiss())
    if failure is None:
        return "gpu", "a probe search on the GPU gave the CPU's answer"
    if device == "gpu":
        raise InputError(f"FAISS cannot use a GPU: {failure}; use device auto or cpu, or install llactr[gpu]")
    return "cpu", failure


def import_faiss() -> ModuleType:
    """FAISS; InputError names the extra that brings it."""
    with naming_extras():
        import faiss
    return faiss


def faiss_on_gpu(faiss: ModuleType, index: Any, *, working_memory_bytes: int | None = _PROBE_MEMORY_BYTES) -> Any:
    """A CPU index moved to the first GPU, with so much memory there to work in; None for what FAISS takes by itself."""
    resources = faiss.StandardGpuResources()
    if working_memory_bytes is not None:
        resources.setTempMemory(working_memory_bytes)
    moved = faiss.index_cpu_to_gpu(resources, 0, index)
    moved.llactr_resources = resources  # the index does not keep its resources alive by itself
    return moved


def _adds(name: str) -> bool:
    import torch

    try:
        return bool((torch.ones(1, device=name) + 1).item() == 2)
    except (RuntimeError, AssertionError):
        return False


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
        found, found_ids = faiss_on_gpu(faiss, cpu).search(vectors, _PROBE_NEIGHBOURS)
    except Exception as error:  # a driver, a kernel or memory: whatever it is, the CPU works
        return f"a probe search on the GPU failed ({type(error).__name__})"
    if not (np.array_equal(found_ids, expected_ids) and np.allclose(found, expected, rtol=1e-3, atol=1e-3)):
        return "a probe search on the GPU gave another answer than the CPU"
    return None
