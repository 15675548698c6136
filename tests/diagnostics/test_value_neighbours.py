from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from llactr.diagnostics import index as indexes
from llactr.diagnostics.index import build_index, exact_neighbours, recall_of
from llactr.diagnostics.value_neighbours import value_similarity
from llactr.errors import DataError


def clustered(count: int, *, dim: int = 16, clusters: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((clusters, dim))
    vectors = centres[rng.integers(0, clusters, count)] + 0.2 * rng.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_figures_are_those_of_all_pairs():
    vectors = clustered(300)
    found = value_similarity(vectors, device="cpu")
    centred = vectors - vectors.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = centred @ centred.T
    np.fill_diagonal(cosines, -1)
    nearest = cosines.max(1)
    assert (found.values, found.index, found.recall, found.sampled) == (300, "flat", 1.0, 300)
    assert found.nearest == pytest.approx(np.quantile(nearest, (0.25, 0.5, 0.75)), abs=1e-3)
    assert found.alike == pytest.approx((nearest >= 0.95).mean(), abs=0.01)
    raw = vectors @ vectors.T
    assert found.mean_cosine == pytest.approx((raw.sum() - 300) / (300 * 299), abs=1e-3)


def test_values_with_one_text_are_alike():
    found = value_similarity(unit((1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)), device="cpu")
    assert found.alike == 0.5
    assert found.nearest[2] == pytest.approx(1, abs=1e-3)


def test_values_that_are_all_the_same_have_no_direction():
    found = value_similarity(unit((1, 2), (1, 2), (1, 2)), device="cpu")
    assert (found.mean_cosine, found.alike) == (pytest.approx(1), 0)


@pytest.mark.parametrize("vectors", [np.ones((1, 3), np.float32), np.ones(3, np.float32)])
def test_one_value_cannot_be_compared(vectors):
    with pytest.raises(DataError, match="at least two values are needed"):
        value_similarity(vectors, device="cpu")


def test_vectors_that_are_no_numbers_are_refused():
    vectors = clustered(5)
    vectors[3, 2] = np.nan
    with pytest.raises(DataError, match="holds NaN or an infinity: run 'llactr encode --values --force'"):
        value_similarity(vectors, device="cpu")


def test_exact_neighbours_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr(indexes, "_BLOCK_ROWS", 7)
    vectors = clustered(50)
    expected = np.argsort(-(vectors[:4] @ vectors.T), axis=1)[:, :5]
    assert exact_neighbours(vectors, vectors[:4], k=5).tolist() == expected.tolist()


def test_recall_is_the_share_of_neighbours_found():
    assert recall_of(np.array([[1, 2, -1], [4, 9, 6]]), np.array([[2, 1, 3], [4, 5, 6]])) == pytest.approx(4 / 6)


def test_many_vectors_are_searched_in_lists_until_the_recall_is_there(monkeypatch):
    monkeypatch.setitem(indexes._EXACT_UP_TO, "cpu", 1000)
    vectors = clustered(4000)
    index = build_index(vectors, device="cpu", kind="auto")
    assert (index.kind, index.device, index._index.nlist) == ("ivf", "cpu", 102)  # 4,000 / 39 points
    queries = vectors[:50]
    expected = exact_neighbours(vectors, queries, k=10)
    index._index.nprobe = 1
    few = recall_of(index.search(queries, k=10)[1], expected)
    found = index.reach(queries, expected, recall=0.99)
    assert few < 0.99 <= found
    assert index._index.nprobe > 1
    similar = value_similarity(vectors, device="cpu")
    assert (similar.index, similar.sampled) == ("ivf", 2000)
    assert similar.recall >= 0.95
    exact = value_similarity(vectors, device="cpu", kind="flat")
    assert similar.nearest == pytest.approx(exact.nearest, abs=0.01)


def test_an_index_that_has_read_its_lists_stops_at_the_most(monkeypatch):
    index = build_index(clustered(4000), device="cpu", kind="ivf")
    impossible = np.full((1, 3), -2, np.int64)
    assert index.reach(clustered(1), impossible, recall=0.9, most_lists=16) == 0
    assert index._index.nprobe == 16


@pytest.mark.parametrize(
    ("count", "where", "has_cagra", "expected"),
    [
        (200_000, "cpu", False, "flat"), (200_001, "cpu", True, "ivf"), (2_000_000, "gpu", True, "flat"),
        (2_000_001, "gpu", True, "cagra"), (2_000_001, "gpu", False, "ivf"),
    ],
)  # fmt: skip
def test_the_index_follows_the_number_of_vectors(count, where, has_cagra, expected):
    faiss = SimpleNamespace(GpuIndexCagra=object) if has_cagra else SimpleNamespace()
    assert indexes._kind_for(count, where, faiss) == expected


def test_a_graph_that_cannot_be_made_becomes_lists_and_says_so(monkeypatch):
    import faiss

    fake = SimpleNamespace(
        **{name: getattr(faiss, name) for name in ("IndexIVFFlat", "IndexFlatIP", "METRIC_INNER_PRODUCT")},
        StandardGpuResources=object,
    )
    monkeypatch.setitem(sys.modules, "faiss", fake)
    monkeypatch.setattr(indexes, "choose_device", lambda _: ("cpu", "asked for"))
    index = build_index(clustered(400), kind="cagra")
    assert (index.kind, index.reason) == ("ivf", "asked for; CAGRA failed there (AttributeError)")
    assert index.search(clustered(400)[:3], k=1)[1][:, 0].tolist() == [0, 1, 2]
