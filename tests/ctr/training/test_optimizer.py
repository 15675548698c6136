from __future__ import annotations

import numpy as np
import pytest
import torch

from llactr.ctr import BACKBONES, TrainConfig, predict, train
from llactr.ctr.lookup import distinct_rows, segment_sums
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.optimizer import LazyAdam
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from tests.ctr.training_fakes import clicks, model


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_every_row_touched_gives_the_bits_of_torch_adam(weight_decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, 8, generator=generator)
    own, theirs = start.clone(), torch.nn.Parameter(start.clone())
    lazy = LazyAdam([own], learning_rate=0.01, weight_decay=weight_decay)
    dense = torch.optim.Adam([theirs], lr=0.01, weight_decay=weight_decay, fused=True)
    rows = torch.randperm(50, generator=generator, dtype=torch.int64).int()
    for _ in range(20):
        gradient = torch.randn(50, 8, generator=generator)
        theirs.grad = gradient.clone()
        dense.step()
        lazy.step(rows, [gradient.index_select(0, rows)])
    assert torch.equal(own, theirs.detach())
    assert not torch.allclose(own, start, atol=0.01)


def test_rows_left_out_keep_their_numbers_and_decay_only_when_touched() -> None:
    table = torch.ones(4, 2)
    lazy = LazyAdam([table], learning_rate=0.1, weight_decay=1.0)
    lazy.step(torch.tensor([1], dtype=torch.int32), [torch.zeros(1, 2)])
    # The gradient is the decay alone, 1 * weight = 1: the first step of Adam is lr * 1 / (1 + eps).
    assert torch.allclose(table, torch.tensor([[1.0, 1.0], [0.9, 0.9], [1.0, 1.0], [1.0, 1.0]]), atol=1e-6)


def test_a_row_by_hand_over_two_steps_with_one_left_out() -> None:
    table = torch.tensor([[0.5], [0.5]])
    lazy = LazyAdam([table], learning_rate=0.1)
    gradients = {1: 2.0, 3: -1.0}  # row 0 is touched in steps 1 and 3, row 1 in step 2
    lazy.step(torch.tensor([0]), [torch.tensor([[gradients[1]]])])
    lazy.step(torch.tensor([1]), [torch.tensor([[5.0]])])
    lazy.step(torch.tensor([0]), [torch.tensor([[gradients[3]]])])
    weight, first, second = 0.5, 0.0, 0.0
    for step, gradient in gradients.items():
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight -= 0.1 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)) ** 0.5 + 1e-8)
    assert table[0].item() == pytest.approx(weight, abs=1e-6)


def test_distinct_rows_and_sums_per_row() -> None:
    entries = torch.tensor([7, 2, 7, 7, 0, 2], dtype=torch.int32)
    rows, inverse, segments = distinct_rows(entries)
    assert rows.tolist() == [0, 2, 7]
    assert inverse.tolist() == [2, 1, 2, 2, 0, 1]
    sums = segment_sums(torch.tensor([[1.0], [10.0], [2.0], [4.0], [100.0], [20.0]]), segments)
    assert sums.tolist() == [[100.0], [30.0], [7.0]]
    shared = segment_sums(torch.tensor([[1.0], [10.0], [100.0]]), segments, entries_per_value=2)
    assert shared.tolist() == [[100.0], [101.0], [21.0]]  # entries 0,1 -> 1, 2,3 -> 10, 4,5 -> 100


@pytest.mark.parametrize("multi_valued", [False, True])
@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_first_lazy_step_is_the_dense_step(backbone: str, enhanced: bool, multi_valued: bool) -> None:
    data = clicks(500, multi_valued=multi_valued)
    batch = Batch(torch.from_numpy(data.ids), torch.from_numpy(data.label), torch.from_numpy(data.version))
    weights = {}
    for optimizer in ("dense", "lazy"):
        made = model(backbone, enhanced=enhanced, multi_valued=multi_valued, dropout=False).double()
        before = made.embedding.weight.detach().clone()
        config = TrainConfig(embedding_optimizer=optimizer, device="cpu")
        step = TrainingStep(made, config, Processes())
        losses = step(Batch(batch.ids, batch.label.double(), batch.version))
        weights[optimizer] = {**{n: v.detach() for n, v in made.state_dict().items()}, "losses": losses}
    moved = (weights["dense"]["embedding.weight"] - before).abs() > 1e-4
    assert moved.any()
    for name, value in weights["dense"].items():
        # The first step of Adam is lr * sign(gradient), whatever is small: equal gradients, not only close ones.
        assert torch.allclose(value, weights["lazy"][name], atol=1e-6), name


@pytest.mark.parametrize("optimizer", ["dense", "lazy"])
def test_both_optimizers_learn_the_clicks(optimizer: str) -> None:
    data = clicks(6000)
    made = model("fm")
    config = TrainConfig(embedding_optimizer=optimizer, batch_size=128, max_epochs=8, learning_rate=0.01, device="cpu")
    result = train(made, data, config)
    assert result.validation.auc is not None
    assert result.validation.auc > 0.8
    scores = predict(made, data.ids[data.split.validation])
    assert abs(float(np.mean(scores)) - float(np.mean(data.label))) < 0.05


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_changes_little(precision: str) -> None:
    data = clicks()
    config = TrainConfig(
        embedding_optimizer="lazy", precision=precision, batch_size=256, max_epochs=2, learning_rate=0.01, device="cpu"
    )
    result = train(model("deepfm", dropout=False), data, config)
    assert result.validation.auc is not None
    assert result.validation.auc > 0.7
