"""The losses against sums written out by hand in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from llactr.semantics.losses import answer_log_probability, contrastive_loss, field_logits


def by_hand(queries: np.ndarray, fields: np.ndarray, positives: list[set[int]], temperature: float) -> float:
    total = 0.0
    for query, own in zip(queries, positives, strict=True):
        cosines = [float(query @ f) / math.dist(query, 0 * query) / math.dist(f, 0 * f) for f in fields]
        norm = sum(math.exp(c / temperature) for c in cosines)
        total += sum(-math.log(math.exp(cosines[k] / temperature) / norm) for k in own) / len(own)
    return total / len(queries)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_multi_positive_infonce_by_hand(temperature: float):
    rng = np.random.default_rng(3)
    queries, fields = rng.standard_normal((4, 6)), rng.standard_normal((3, 6))
    own = [{0}, {1, 2}, {2}, {0, 1, 2}]
    positives = torch.tensor([[k in s for k in range(3)] for s in own])
    found = contrastive_loss(torch.tensor(queries), torch.tensor(fields), positives, temperature=temperature)
    assert found.item() == pytest.approx(by_hand(queries, fields, own, temperature), rel=1e-10)


def test_with_one_positive_it_is_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    queries, fields = torch.randn(5, 8, generator=generator), torch.randn(4, 8, generator=generator)
    target = torch.tensor([0, 3, 1, 2, 3])
    positives = torch.nn.functional.one_hot(target, 4).bool()
    expected = torch.nn.functional.cross_entropy(field_logits(queries, fields, temperature=0.02), target)
    assert contrastive_loss(queries, fields, positives, temperature=0.02).item() == pytest.approx(expected.item())


def test_a_shared_value_is_not_pushed_from_its_other_field():
    # One value of two fields: the gradient at equal shares is 0 for both, and positive for the third.
    logits = torch.tensor([[2.0, 2.0, -50.0]], requires_grad=True)
    positives = torch.tensor([[True, True, False]])
    weight = positives.double()
    (-(logits.log_softmax(-1) * weight).sum() / weight.sum()).backward()
    assert torch.allclose(logits.grad, torch.zeros(1, 3), atol=1e-6)
    query = torch.tensor([[1.0, 0.0]])
    fields = torch.tensor([[0.8, 0.6], [0.8, -0.6], [-1.0, 0.0]])
    assert contrastive_loss(query, fields, positives, temperature=0.02).item() == pytest.approx(math.log(2), abs=1e-6)


def test_answer_log_probability_by_hand():
    logits = torch.log(torch.tensor([[[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.9, 0.05, 0.05], [1 / 3, 1 / 3, 1 / 3]]]))
    tokens = torch.tensor([[2, 1, 0, 2]])
    answer = torch.tensor([[False, False, True, True]])
    # Token 0 at t=2 is spoken of by the scores at t=1 (0.1), token 2 at t=3 by those at t=2 (0.05).
    assert answer_log_probability(logits, tokens, answer).tolist() == pytest.approx([math.log(0.1) + math.log(0.05)])
