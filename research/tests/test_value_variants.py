from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from llactr.semantics import FieldValueVectors, ValueVectors
from llactr.semantics.tuning.colike import colike_loss
from research.value_tuning import logq_loss
from research.value_variants import bumps, in_one_space, summary


def test_bumps_lie_around_their_centres() -> None:
    found = bumps(("1930", "1940", "unknown"), 1930, 1950, 3, 10.0)
    one = math.exp(-0.5)
    expected = [[1, one, math.exp(-2)], [one, 1, one], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_one_space_keeps_distances_within_a_field_and_forgets_its_mean() -> None:
    draw = np.random.default_rng(0)
    fields = {
        name: FieldValueVectors(tuple("abcd"), (draw.normal(size=(4, 6)) + shift).astype(np.float32))
        for name, shift in (("one", 0.0), ("two", 5.0))
    }
    turned = in_one_space(ValueVectors("films", "0" * 16, "fake", fields), 6)
    for name, before in fields.items():
        after = turned.fields[name].vectors
        assert after.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-5)
        gap = np.linalg.norm(before.vectors[0] - before.vectors[3])
        assert np.linalg.norm(after[0] - after[3]) == pytest.approx(gap, rel=1e-5)


def test_log_q_of_nothing_is_the_loss_of_the_product() -> None:
    draw = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    vectors = draw / draw.norm(dim=1, keepdim=True)
    windows = np.array([[0, 1, 2], [3, 4, 2]])
    expected = colike_loss(vectors, torch.from_numpy(windows), temperature=0.07)
    assert logq_loss(vectors, windows, torch.zeros(6), temperature=0.07).item() == pytest.approx(expected.item())
    # The same for every item changes nothing; less for one item's column makes its pairs dearer.
    same = logq_loss(vectors, windows, torch.full((6,), -3.0), temperature=0.07)
    assert same.item() == pytest.approx(expected.item(), rel=1e-5)
    assert logq_loss(vectors, windows, torch.tensor([0, 0, 9.0, 0, 0, 0]), temperature=0.07) > expected


def test_differences_are_paired_by_window_draw_and_seed() -> None:
    def run(variant: str, draw: int, seed: int, auc: float) -> dict[str, object]:
        figures = {"all": auc, "unseen items": None if draw < 0 else auc / 2, "warm": auc, "logloss": 1 - auc}
        return {"variant": variant, "window": 0.5, "draw": draw, "seed": seed, **figures}

    runs = [
        run("values", 0, 0, 0.70), run("values", 0, 1, 0.72), run("values", 1, 0, 0.60), run("values", -1, 0, 0.80),
        run("plain", 0, 0, 0.71), run("plain", 0, 1, 0.71), run("plain", 1, 0, 0.58), run("plain", -1, 0, 0.79),
    ]  # fmt: skip
    lines = {(line["variant"], line["held_out"]): line for line in summary(runs, "values")}
    held = lines["plain", True]
    assert held["all"]["difference"] == pytest.approx((0.0 - 0.02) / 2)
    assert held["all"]["above"] == "0 of 2"
    assert held["unseen items"]["difference"] == pytest.approx(-0.005)
    assert lines["plain", False]["unseen items"]["difference"] is None
    assert lines["plain", False]["logloss"]["difference"] == pytest.approx(0.01)
    assert lines["values", True]["all"]["mean"] == pytest.approx((0.70 + 0.72 + 0.60) / 3)
