"""The gated FM against its formula, and the map against cases whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from llactr.transforms import PAD, FieldLayout
from research.fields_over_sets.__main__ import derangement, summary
from research.fields_over_sets.mapping import Taught, guessed, mean_gates
from research.fields_over_sets.model import GatedFM, Gates

LAYOUT = FieldLayout(("a", "b", "c"), (5, 6, 7), (1, 2, 1))


def test_the_logit_is_the_sum_that_the_docstring_says() -> None:
    rng = np.random.default_rng(0)
    gates = Gates(rng.normal(size=3), rng.normal(size=3))
    model = GatedFM(LAYOUT, gates, prior=0.2, seed=1, held=True)
    with torch.no_grad():
        model.weight.weight.normal_()
        model.vector.weight.normal_()
    ids = torch.tensor([[3, 4, 5, 6], [4, 3, PAD, 3]])
    w, v = model.weight.weight.detach()[:, 0].double(), model.vector.weight.detach().double()
    for row, logit in zip(ids.tolist(), model(ids).tolist()):
        slots = [[row[0]], [one for one in row[1:3] if one != PAD], [row[3]]]
        weight = [w[[start + one for one in some]].mean() for start, some in zip((0, 5, 11), slots)]
        vector = [v[[start + one for one in some]].mean(0) for start, some in zip((0, 5, 11), slots)]
        expected = np.log(0.25) + sum(np.exp(g) * float(one) for g, one in zip(gates.fields, weight))
        for at, (j, k) in enumerate(itertools.combinations(range(3), 2)):
            expected += np.exp(gates.pairs[at]) * float(vector[j] @ vector[k])
        np.testing.assert_allclose(logit, expected, rtol=1e-4)


def test_a_field_that_other_sets_know_gets_their_gate() -> None:
    """Four sets have the same five meanings in another order, with gates that are the meaning's own."""
    rng = np.random.default_rng(1)
    meaning, gate = np.linalg.qr(rng.normal(size=(8, 8)))[0][:5], np.array([2.0, 1.0, 0.0, -1.0, -2.0])
    pair = rng.normal(size=(5, 5))
    pair = pair + pair.T

    def one(order: np.ndarray, shift: float) -> Taught:
        first, second = np.triu_indices(5, 1)
        pairs = pair[np.ix_(order, order)][first, second]
        return Taught(meaning[order], Gates(gate[order] + shift, pairs))

    sets = [one(rng.permutation(5), shift) for shift in (0.0, 0.5, 1.0, -0.5)]
    unknown = one(rng.permutation(5), 9.0)
    found = guessed(sets, unknown.vectors)
    assert np.corrcoef(found.fields, unknown.gates.fields)[0, 1] > 0.99
    assert np.corrcoef(found.pairs, unknown.gates.pairs)[0, 1] > 0.95
    np.testing.assert_allclose(found.fields.mean(), mean_gates(sets, 5).fields[0])
    np.testing.assert_allclose(found.fields.mean(), 0.25)
    wrong = guessed(sets, unknown.vectors[derangement(5, 0)])
    assert np.corrcoef(wrong.fields, unknown.gates.fields)[0, 1] < 0.9


def test_vectors_that_say_nothing_leave_little_but_the_mean() -> None:
    rng = np.random.default_rng(2)
    sets = [Taught(rng.normal(size=(8, 30)), Gates(rng.normal(size=8), rng.normal(size=28))) for _ in range(5)]
    found = guessed(sets, rng.normal(size=(8, 30)))
    assert found.fields.std() < 0.5  # of 1, by chance
    assert found.pairs.std() < 0.3


def test_differences_are_paired_by_draw_and_averaged_over_sets() -> None:
    runs = [
        {"set": name, "size": 500, "draw": draw, "arm": arm, "encoder": "minilm", "free": False, "auc": base + gain}
        for name, gain_of_set in (("upworthy", 0.01), ("completejourney", 0.03))
        for draw, base in ((0, 0.6), (1, 0.7))
        for arm, gain in (("vectors", gain_of_set), ("permuted", 0.0))
    ]
    line = next(one for one in summary(runs, ["minilm"]) if (one["size"], one["arm"]) == (500, "vectors"))
    np.testing.assert_allclose(line["mean"], 0.02)
    assert len(line["by_set"]) == 2
