from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from llactr.errors import DataError
from llactr.semantics import ColikeConfig, EncoderConfig, LoraSettings, colike_windows, load_encoder, tune_colike
from llactr.semantics.tuning.colike import colike_loss


def test_windows_are_successive_likes_of_one_user() -> None:
    users = np.array([1, 2, 1, 1, 2, 1, 3])
    items = np.array([10, 20, 11, 12, 21, 13, 30])
    assert colike_windows(users, items, window=1).tolist() == [[10, 11], [11, 12], [12, 13], [20, 21]]
    assert colike_windows(users, items, window=3).tolist() == [[10, 11, 12, 13]]
    assert colike_windows(users, items, window=9).shape == (0, 10)


def test_the_loss_is_the_mean_over_positives_outside_the_logarithm() -> None:
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0.6, 0.8], [0, 1], [-1, 0]]), dim=1)
    windows = torch.tensor([[0, 1], [2, 3], [0, 2]])
    positives = {0: [1, 2], 1: [0], 2: [3, 0], 3: [2]}
    logits = (vectors @ vectors.T / 0.5).tolist()
    expected = 0.0
    for anchor, own in positives.items():
        others = [math.exp(logits[anchor][k]) for k in range(4) if k != anchor]
        expected -= sum(logits[anchor][k] - math.log(sum(others)) for k in own) / len(own)
    assert colike_loss(vectors, windows, temperature=0.5).item() == pytest.approx(expected / 4, abs=1e-5)


def test_an_item_twice_in_a_window_is_no_positive_of_itself() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(3, 4), dim=1)
    assert colike_loss(vectors, torch.tensor([[0, 0]]), temperature=0.1).item() == 0
    pair = colike_loss(vectors, torch.tensor([[0, 1]]), temperature=0.1)
    assert colike_loss(vectors, torch.tensor([[0, 1], [0, 0]]), temperature=0.1).item() == pytest.approx(pair.item())


def test_tuning_draws_liked_items_together(tiny_sentence) -> None:
    """Two worlds that nobody mixes: after tuning, the loss of held-out windows is lower."""
    texts = [f"the {word} {number}" for word in ("red fox", "old ship") for number in range(8)]
    rng = np.random.default_rng(1)
    windows = np.concatenate([rng.integers(0, 8, (60, 3)), rng.integers(8, 16, (60, 3))])
    config = ColikeConfig(steps=30, batch_size=6, learning_rate=0.01, lora=LoraSettings(dropout=0))
    encoder = load_encoder(EncoderConfig(model=str(tiny_sentence), device="cpu"))
    result = tune_colike(encoder, texts, windows, config)
    assert result.loss_after < result.loss_before - 0.05
    assert len(result.run.losses) == 30
    assert (result.windows, result.items) == (120, 16)
    vectors = encoder.encode(texts)
    cosines = vectors @ vectors.T
    within, across = (cosines[:8, :8].sum() - 8) / 56, cosines[:8, 8:].mean()
    assert within > across
    again = load_encoder(EncoderConfig(model=str(tiny_sentence), device="cpu"))
    tune_colike(again, texts, windows, config)
    assert np.array_equal(again.encode(texts), vectors), "the same seed gives the same bits"


def test_too_few_likes_are_refused(tiny_sentence) -> None:
    encoder = load_encoder(EncoderConfig(model=str(tiny_sentence), device="cpu"))
    with pytest.raises(DataError, match="3 windows of 4 successive likes, collaborative tuning needs at least 40"):
        tune_colike(encoder, ["a"], np.zeros((3, 4), np.int64))
