"""What moves when new values are trained by themselves, and what stays: on rows and models made up here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from llactr.ctr import CTRModel, TrainConfig
from llactr.ctr.training.warm.new_values import train_new_values
from tests.ctr.training_fakes import SIZES, clicks, model

CONFIG = TrainConfig.model_validate({"batch_size": 10_000, "learning_rate": 0.02, "device": "cpu"})
USERS = SIZES[0]
NEW = (7, 31)
"""Of the first field, the users: rows 7 and 31 of the table."""


def known(*new: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = np.ones(sum(SIZES), bool)
    found[list(new)] = False
    return found


def state(model_: CTRModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model_.state_dict().items()}


@pytest.mark.parametrize(
    ("backbone", "more"), [("fm", {}), ("deepfm", {"enhanced": True}), ("fwfm", {"multi_valued": True}), ("fm", {"history": True})]
)  # fmt: skip
def test_rows_of_new_values_move_and_nothing_else_does(backbone: str, more: dict[str, bool]) -> None:
    data = clicks(900, **{key: more[key] for key in more if key != "enhanced"})
    made = model(backbone, **more)
    before = state(made)
    rows = data.split.train
    count = train_new_values(made, data, CONFIG, rows=rows, known=known(*NEW), passes=3)
    assert count == int(np.isin(data.ids[rows, 0], NEW).sum())
    for name, value in made.state_dict().items():
        still = torch.ones(len(value) if value.dim() else 1, dtype=torch.bool)
        if name in ("embedding.weight", "embedding.linear"):
            still[list(NEW)] = False
            assert not torch.equal(value[list(NEW)], before[name][list(NEW)]), name
            assert torch.equal(value[still], before[name][still]), name
        else:
            assert torch.equal(value, before[name]), name


def test_the_steps_are_those_of_adam_on_the_rows_that_hold_a_new_value() -> None:
    """By torch's own Adam, all else frozen, with the gradient of the loss of these rows alone."""
    data, made, byhand = clicks(900), model("fm"), model("fm")
    rows = data.split.train[np.isin(data.ids[data.split.train, 0], NEW)]
    ids, label = torch.from_numpy(data.ids[rows]), torch.from_numpy(data.label[rows])
    tables = [byhand.embedding.weight, byhand.embedding.linear]
    own = [torch.nn.Parameter(table[list(NEW)].detach().clone()) for table in tables if table is not None]
    adam = torch.optim.Adam(own, lr=0.02)
    for _ in range(4):
        gradients = torch.autograd.grad(byhand.loss(ids, label).total, [table for table in tables if table is not None])
        for parameter, gradient in zip(own, gradients, strict=True):
            parameter.grad = gradient[list(NEW)]
        adam.step()
        with torch.no_grad():
            for table, parameter in zip(tables, own, strict=True):
                assert table is not None
                table[list(NEW)] = parameter
    train_new_values(made, data, CONFIG, rows=data.split.train, known=known(*NEW), passes=4)
    assert torch.allclose(made.embedding.weight, byhand.embedding.weight, atol=1e-6)
    assert made.embedding.linear is not None
    assert byhand.embedding.linear is not None
    assert torch.allclose(made.embedding.linear, byhand.embedding.linear, atol=1e-6)


def test_they_fit_their_rows_better_and_end_with_the_same_bits() -> None:
    data, (made, again) = clicks(900), (model("deepfm"), model("deepfm"))
    rows = data.split.train[np.isin(data.ids[data.split.train, 0], NEW)]
    ids, label = torch.from_numpy(data.ids[rows]), torch.from_numpy(data.label[rows])
    small = CONFIG.model_copy(update={"batch_size": 16})

    def loss(one: CTRModel) -> float:
        return float(one.eval().loss(ids, label).total.detach())

    before = loss(made)
    outside = torch.random.get_rng_state()
    for one in (made, again):
        train_new_values(one, data, small, rows=data.split.train, known=known(*NEW), passes=10)
    assert loss(made) < before - 0.01
    assert torch.equal(made.embedding.weight, again.embedding.weight)
    assert torch.equal(torch.random.get_rng_state(), outside)


@pytest.mark.parametrize(("new", "passes"), [((), 5), (NEW, 0)])
def test_without_a_new_value_or_a_pass_nothing_happens(new: tuple[int, ...], passes: int) -> None:
    data, made = clicks(300), model("fm")
    before = state(made)
    assert train_new_values(made, data, CONFIG, rows=data.split.train, known=known(*new), passes=passes) == 0
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_rows_of_one_label_are_no_reason_to_stop() -> None:
    data, made = clicks(900), model("fm")
    rows = data.split.train[data.label[data.split.train] == 1]
    before = state(made)
    assert train_new_values(made, data, CONFIG, rows=rows, known=known(*NEW), passes=2) > 0
    assert made.embedding.linear is not None
    assert (made.embedding.linear[list(NEW)] > before["embedding.linear"][list(NEW)]).all(), "clicks alone: more likely"
