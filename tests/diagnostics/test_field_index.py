from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from llactr.diagnostics import build_index, choose_device
from llactr.errors import InputError

VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)


class FlatIndex:
    """What FAISS's exact inner-product index does, in numpy."""

    def __init__(self, dim, shift=0.0):
        self.vectors, self.shift = np.zeros((0, dim), dtype=np.float32), shift

    def add(self, vectors):
        self.vectors = np.vstack([self.vectors, vectors])

    def search(self, queries, k):
        scores = queries @ self.vectors.T + self.shift
        ids = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, ids, axis=1), ids


def faiss_with_gpu(*, gpus=1, resources=None, shift=0.0):
    def to_gpu(_resources, _device, index):
        moved = FlatIndex(index.vectors.shape[1], shift)
        moved.add(index.vectors)
        return moved

    working = lambda: SimpleNamespace(setTempMemory=lambda _size: None)  # noqa: E731
    return SimpleNamespace(
        IndexFlatIP=FlatIndex, get_num_gpus=lambda: gpus, StandardGpuResources=resources or working,
        index_cpu_to_gpu=to_gpu,
    )  # fmt: skip


def test_the_largest_inner_products_come_first():
    index = build_index(VECTORS, device="cpu")
    scores, ids = index.search(np.array([[1, 0]], dtype=np.float32), k=3)
    assert ids.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(scores, [[1.0, 0.6, 0.0]], atol=1e-7)
    assert (index.device, index.size, index.reason) == ("cpu", 3, "the CPU was asked for")


def test_more_neighbours_than_vectors_are_refused():
    with pytest.raises(ValueError, match="k is 4, expected 1 to 3"):
        build_index(VECTORS, device="cpu").search(VECTORS, k=4)


def test_the_cpu_build_says_why_it_stays_on_the_cpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(IndexFlatIP=FlatIndex))
    assert choose_device("auto") == ("cpu", "the installed FAISS is the CPU build")
    assert build_index(VECTORS).device == "cpu"


def test_a_gpu_is_used_after_a_probe_search_gave_the_same_answer(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", faiss_with_gpu())
    index = build_index(VECTORS)
    assert (index.device, index.reason) == ("gpu", "a probe search on the GPU gave the CPU's answer")
    assert index.search(VECTORS, k=1)[1].tolist() == [[0], [1], [2]]


def test_no_gpu_in_the_machine(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", faiss_with_gpu(gpus=0))
    assert choose_device() == ("cpu", "FAISS sees no GPU")


def test_a_gpu_that_raises_is_not_used(monkeypatch):
    def broken():
        raise RuntimeError("no kernel image is available")

    monkeypatch.setitem(sys.modules, "faiss", faiss_with_gpu(resources=broken))
    assert choose_device() == ("cpu", "a probe search on the GPU failed (RuntimeError)")
    with pytest.raises(InputError, match=r"cannot use a GPU: a probe search on the GPU failed .* use device auto"):
        choose_device("gpu")


def test_a_gpu_that_answers_wrongly_is_not_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", faiss_with_gpu(shift=0.5))
    assert choose_device() == ("cpu", "a probe search on the GPU gave another answer than the CPU")


def test_missing_faiss_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"'faiss' is not installed: run pip install 'llactr\[cpu\]'"):
        build_index(VECTORS)


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="is 'tpu', expected auto, cpu or gpu"):
        choose_device("tpu")


@pytest.mark.gpu
def test_a_real_gpu_gives_the_cpu_answer():
    faiss = pytest.importorskip("faiss")
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() < 1:
        pytest.skip("no GPU that FAISS can use")
    assert build_index(VECTORS, device="gpu").search(VECTORS, k=1)[1].tolist() == [[0], [1], [2]]
