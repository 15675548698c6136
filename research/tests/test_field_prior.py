from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from llactr.ctr import CTRModel, ModelConfig, predict
from llactr.transforms import FieldLayout
from research.field_prior import carried, cosines, donor_row, mean_row, pair_weights, set_pair_weights, take_over
from research.field_transfer import compared

WEIGHTS = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 4.0], [2.0, 4.0, 0.0]])
CONFIG = ModelConfig.model_validate({"backbone": "fwfm", "embedding_dim": 4})


def test_cosines_are_of_directions() -> None:
    found = cosines(np.array([[2.0, 0.0], [3.0, 3.0]]), np.array([[0.0, 5.0], [1.0, 0.0], [-1.0, 0.0]]))
    assert found == pytest.approx(np.array([[0, 1, -1], [0.5**0.5, 0.5**0.5, -(0.5**0.5)]]))


def test_a_sharp_match_carries_weights_in_the_order_of_the_fields() -> None:
    order = [2, 0, 1]  # B's fields are A's 2, 0, 1
    found = carried(WEIGHTS, np.eye(3)[order], temperature=0.01)
    assert found == pytest.approx(WEIGHTS[np.ix_(order, order)])


def test_a_soft_match_is_the_mean_over_pairs_of_different_fields() -> None:
    even = carried(WEIGHTS, np.zeros((2, 3)), temperature=1.0)  # all six ordered pairs weigh the same
    assert even == pytest.approx(np.array([[0, 14 / 6], [14 / 6, 0]]))
    # The first is field 0 for certain, the second 0 or 1 with 1/2 each: pair (0, 0) does not exist, (0, 1) is left.
    likeness = np.array([[1.0, -99.0, -99.0], [1.0, 1.0, -99.0]])
    assert carried(WEIGHTS, likeness, temperature=1.0)[0, 1] == pytest.approx(1.0)


def test_two_fields_that_are_like_one_alone_get_no_weight() -> None:
    likeness = np.array([[1.0, -99.0, -99.0], [1.0, -99.0, -99.0]])
    assert carried(WEIGHTS, likeness, temperature=1.0)[0, 1] == 0


def test_rows_of_a_new_field() -> None:
    assert donor_row(WEIGHTS, 1).tolist() == [1.0, 2.5, 4.0]
    assert WEIGHTS[1, 1] == 0
    assert mean_row(WEIGHTS).tolist() == [1.5, 2.5, 3.0]


def test_taking_over_leaves_the_new_field_alone_and_the_old_scores_as_they_were() -> None:
    whole = FieldLayout(("user", "genres", "item"), (5, 4, 6), (1, 2, 1))
    old = CTRModel(CONFIG, FieldLayout(("user", "item"), (5, 6), (1, 1)), seed=3)
    new, untouched = CTRModel(CONFIG, whole, seed=4), CTRModel(CONFIG, whole, seed=4)
    take_over(old, whole, new_field=1, into=new)
    assert torch.equal(new.embedding.weight[5:9], untouched.embedding.weight[5:9])
    assert pair_weights(new)[1] == pytest.approx(pair_weights(untouched)[1])
    assert pair_weights(new)[0, 2] == pair_weights(old)[0, 1]
    with torch.no_grad():
        new.embedding.weight[5:9] = 0  # the field's embeddings: without them it says nothing
    ids = np.array([[3, 3, 0, 5], [4, 1, 2, 3]], np.int32)
    assert predict(new, ids) == pytest.approx(predict(old, ids[:, [0, 3]]), abs=1e-6)


def test_held_pair_weights_are_not_trained() -> None:
    model = CTRModel(CONFIG, FieldLayout(("a", "b", "c"), (4, 4, 4), (1, 1, 1)), seed=0)
    set_pair_weights(model, WEIGHTS, held=True)
    assert pair_weights(model).tolist() == WEIGHTS.tolist()
    model.loss(torch.tensor([[3, 3, 3]]), torch.tensor([1.0])).total.backward()
    assert model.backbone.get_parameter("pair_weight").grad is None
    assert model.embedding.weight.grad is not None


def test_arms_are_paired_by_cell_and_the_interval_is_over_units() -> None:
    auc = {("x", 0): (0.6, 0.7), ("x", 1): (0.5, 0.7), ("y", 0): (0.8, 0.8), ("y", 1): (0.4, 0.3)}
    runs = [
        {"field": field, "seed": seed, "arm": arm, "auc": value}
        for (field, seed), pair in auc.items()
        for arm, value in zip(("base", "arm"), pair, strict=True)
    ]
    found = compared(runs, "arm", "base", cell=("field", "seed"), unit=("field",))
    assert found["mean"] == pytest.approx(0.05)  # x +.15, y -.05
    assert found["range"] == pytest.approx([-0.05, 0.15])
    assert found["above"] == "1 of 2"
    assert found["interval"] == pytest.approx([0.05 - 12.706205 * 0.1, 0.05 + 12.706205 * 0.1])
