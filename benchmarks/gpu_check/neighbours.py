"""FAISS on the device finds the neighbours that FAISS on the CPU finds, and of very many vectors nearly all."""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks.gpu_check.card import seconds_of
from benchmarks.gpu_check.check import Found, Setting
from benchmarks.gpu_check.traffic import search_bytes
from benchmarks.value_similarity import clustered
from llactr.diagnostics.index import build_index
from llactr.diagnostics.value_neighbours import value_similarity

__all__ = ["near_neighbours", "same_neighbours"]

_DIM, _K = 384, 10
_WANTED_RECALL = 0.9


def same_neighbours(setting: Setting) -> Found:
    """Exact search: equal inner products, and the same rows but where two are as near."""
    count, asked = setting.size(1_000_000, 20_000), setting.size(1000, 100)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, _DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[rng.choice(count, asked, replace=False)] + 0.02 * rng.standard_normal(
        (asked, _DIM), dtype=np.float32
    )
    there = build_index(vectors, device="gpu" if setting.on_gpu else "cpu")
    scores, rows = there.search(queries, k=_K)
    if setting.on_gpu:
        expected, expected_rows = build_index(vectors, device="cpu").search(queries, k=_K)
    else:
        products = queries @ vectors.T
        expected_rows = np.argsort(-products, axis=1, kind="stable")[:, :_K]
        expected = np.take_along_axis(products, expected_rows, axis=1)
    gap = float(np.abs(scores - expected).max())
    shared = np.mean([len(set(a) & set(b)) / _K for a, b in zip(rows.tolist(), expected_rows.tolist(), strict=True)])
    seconds = statistics.median(seconds_of(lambda: there.search(queries, k=_K), setting.device, repeats=3))
    moved = search_bytes(count, dim=_DIM, queries=asked, queries_at_once=asked)
    figures = {
        "where": there.device,
        "vectors": count,
        "neighbours_shared": float(shared),
        "largest_gap": gap,
        "queries_per_second": round(asked / seconds),
        "share_of_bandwidth": round(setting.share_of_bandwidth(moved, seconds), 4),
    }
    said = f"{shared:.2%} of neighbours the same, largest gap {gap:.1e}, on {there.device}"
    return Found(bool(shared >= 0.999 and gap <= 1e-3), said, figures)


def near_neighbours(setting: Setting) -> Found:
    """Similarity of very many value vectors by lists or a graph, as `llactr diagnose` measures it."""
    count = setting.size(10_000_000, 20_000)
    vectors = clustered(count, 128)
    began = time.perf_counter()
    found = value_similarity(
        vectors, device="gpu" if setting.on_gpu else "cpu", kind="auto" if setting.on_gpu else "ivf"
    )
    seconds = time.perf_counter() - began
    figures = {**found.model_dump(mode="json"), "wall_seconds": round(seconds, 1)}
    said = f"{count:,} vectors by {found.index} on {found.device}: recall {found.recall:.3f}"
    return Found(found.recall >= _WANTED_RECALL, said, figures)
