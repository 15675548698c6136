"""Target attention, by the sums of its definition; and the backbone that is named after it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from llactr.ctr import BACKBONES, CTRModel, ModelConfig, predict
from llactr.ctr.attention import TargetAttention
from llactr.ctr.history import with_history
from llactr.transforms import FieldLayout

LAYOUT = FieldLayout(("user", "item"), (5, 7), (1, 1))
NAMES = ("level", *(f"past {part} {n}" for n in (1, 2, 3) for part in ("cosine", "residual", "age")), "rate")


def rows(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ids = np.stack([rng.integers(1, 5, count), rng.integers(1, 7, count)], 1).astype(np.int32)
    history = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    for row, listed in enumerate(rng.integers(0, 4, count)):
        history[row, 1 + 3 * listed : 10] = np.nan  # so many events are there
    return ids, history


def model_of(backbone: str = "din") -> CTRModel:
    history = {"names": NAMES, "additive": ("level",), "sequences": ((1, 3),)}
    config = {"backbone": backbone, "embedding_dim": 4, "init_std": 0.5, "history": history}
    model = CTRModel(ModelConfig.model_validate(config), LAYOUT, seed=2)
    assert model.history is not None
    with torch.no_grad():
        torch.manual_seed(1)
        model.history.weights.normal_()
    model.history.fit(rows()[1])
    return model.eval()


def test_the_sums() -> None:
    unit = TargetAttention(3)
    tokens, missing = torch.randn(5, 3, 3), torch.tensor([[0, 0, 1.0]] * 5)
    found = unit(tokens, missing)
    first, slope, last = unit.unit[0], unit.unit[1], unit.unit[2]
    for row in range(5):
        residuals = ones = 0.0
        for event in range(2):
            hidden = first.weight @ tokens[row, event] + first.bias
            weight = 1 + (last.weight @ torch.where(hidden > 0, hidden, slope.weight * hidden) + last.bias).item()
            residuals, ones = residuals + weight * tokens[row, event, 1].item(), ones + weight
        np.testing.assert_allclose(found[row].tolist(), [residuals / 3, ones / 3], rtol=1e-4, atol=1e-6)
    assert torch.equal(unit(tokens, torch.ones(5, 3)), torch.zeros(5, 2)), "nothing of nothing"


def test_din_by_hand() -> None:
    """Embeddings of ids, of the number with one of its own, and of both sums, through the layers; logits beside."""
    model, (ids, history) = model_of(), rows()
    past = model.history
    assert past is not None
    events = history[:, 1:10].reshape(-1, 3, 3)
    mean = np.array([np.nanmean(events[:, :, part].astype(np.float64)) for part in range(3)])
    deviation = np.array([np.nanstd(events[:, :, part].astype(np.float64)) for part in range(3)])
    tokens = np.nan_to_num(np.clip((events - mean) / deviation, -5, 5)).astype(np.float32)
    with torch.no_grad():
        sums = past.attention[0](
            torch.from_numpy(tokens), torch.from_numpy(np.isnan(events[:, :, 1]).astype(np.float32))
        )
        own = (history[:, [0, 10]] - history[:, [0, 10]].mean(0)) / history[:, [0, 10]].std(0)
        numbers = torch.cat([torch.from_numpy(own.clip(-5, 5)), sums], dim=1)  # level, rate, two sums
        offsets = torch.tensor([0, 5])
        fields = model.embedding.weight[torch.from_numpy(ids).long() + offsets]
        more = numbers[:, 1:, None] * past.vectors[0]
        x = torch.cat([fields, more], dim=1).flatten(1)
        for layer in model.backbone.mlp:  # type: ignore[union-attr]
            x = layer(x)
        expected = torch.sigmoid(x.squeeze(1) + 10 * (numbers * past.weights[0]).sum(1))
    np.testing.assert_allclose(predict(model, with_history(ids, history)), expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_reads_a_sequence(backbone: str) -> None:
    model, (ids, history) = model_of(backbone), rows()
    data, label = torch.from_numpy(with_history(ids, history)), torch.ones(len(ids))
    loss = model.loss(data, label).total
    loss.backward()
    assert model.history is not None
    for one in model.history.attention.parameters():
        assert one.grad is not None
    assert model.history.vectors.grad is not None
    assert model.history.vectors.grad[0, -2:].abs().sum() > 0
    moved = history.copy()
    moved[:, 1] += 1  # nearer
    first, other = (predict(model, with_history(ids, some)) for some in (history, moved))
    assert not np.allclose(first, other)


def test_din_without_a_sequence_is_the_base_model() -> None:
    model = CTRModel(ModelConfig.model_validate({"backbone": "din", "embedding_dim": 4}), LAYOUT, seed=0).eval()
    ids = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
    first, slope, _, second, slope2, _, last = model.backbone.mlp  # type: ignore[misc]
    assert (first.in_features, first.out_features, second.out_features) == (8, 200, 80)
    with torch.no_grad():
        x = model.embedding.weight[ids.long() + torch.tensor([0, 5])].flatten(1)
        x = functional.prelu(functional.linear(x, first.weight, first.bias), slope.weight)
        x = functional.prelu(functional.linear(x, second.weight, second.bias), slope2.weight)
        expected = functional.linear(x, last.weight, last.bias).squeeze(1)
        np.testing.assert_allclose(model(ids).numpy(), expected.numpy(), atol=1e-6)
