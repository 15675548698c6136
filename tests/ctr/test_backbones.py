"""The registry of backbones, and what a backbone promises to the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from llactr.ctr import BACKBONES, CTRModel, ModelConfig, TrainConfig, predict
from llactr.ctr.backbones.base import Backbone
from llactr.transforms import FieldLayout
from tests.ctr.training_fakes import clicks, model


def test_the_simple_ones_come_first() -> None:
    assert tuple(BACKBONES) == ("fm", "fwfm", "fmfm", "deepfm", "finalmlp", "wukong", "din")


@pytest.mark.parametrize("name", BACKBONES)
def test_each_file_holds_a_class_with_settings_and_defaults(name: str) -> None:
    backbone = BACKBONES[name]
    assert issubclass(backbone, Backbone)
    assert backbone.__module__ == f"llactr.ctr.backbones.{name}"
    assert issubclass(backbone.settings, BaseModel)
    assert type(ModelConfig.model_validate({"backbone": name}).settings) is backbone.settings
    changed = TrainConfig.of(name).model_dump(exclude_defaults=True)
    assert changed == dict(backbone.training_defaults)


def test_training_defaults_are_the_published_ones() -> None:
    found = {name: (TrainConfig.of(name).weight_decay, TrainConfig.of(name).learning_rate) for name in BACKBONES}
    assert found == {
        "fm": (0, 1e-3), "fwfm": (1e-6, 1e-3), "fmfm": (1e-3, 1e-3),
        "deepfm": (1e-3, 1e-3), "finalmlp": (3e-3, 1e-3), "wukong": (1e-2, 3e-4),
        "din": (1e-3, 1e-3),
    }  # fmt: skip


def test_settings_are_written_with_all_their_keys() -> None:
    dumped = ModelConfig.model_validate({"backbone": "deepfm"}).model_dump(mode="json")
    assert dumped["settings"] == {"hidden_units": [128, 64], "dropout": 0.2}
    assert list(dumped) == ["backbone", "embedding_dim", "init_std", "settings", "enhancement"]


@pytest.mark.parametrize("rows", [1, 3, 3000])
def test_fm_scores_from_the_tables_as_from_embeddings(rows: int) -> None:
    found, data = model("fm"), clicks(rows=max(rows, 10))
    torch.nn.init.normal_(found.embedding.linear)
    ids = torch.from_numpy(data.ids[:rows])
    expected = torch.sigmoid(found(ids)).detach().numpy()  # with gradients: through the embeddings
    assert np.abs(predict(found, ids) - expected).max() < 1e-6
    with torch.inference_mode():  # logits are the same bits whatever else is in the batch
        assert torch.equal(found(ids)[:50], torch.cat([found(row[None]) for row in ids[:50]]))


def test_fm_scores_in_pieces_by_rendle_s_sum_over_pairs() -> None:
    sizes = (50,) * 20
    config = ModelConfig.model_validate({"backbone": "fm", "embedding_dim": 32, "init_std": 0.1})
    found = CTRModel(config, FieldLayout(tuple("abcdefghijklmnopqrst"), sizes, (1,) * 20), seed=2).eval()
    ids = np.random.default_rng(0).integers(0, 50, (600, 20)).astype(np.int32)  # 384,000 numbers: three pieces
    with torch.inference_mode():
        logits = found(torch.from_numpy(ids)).numpy()
    table = found.embedding.weight.detach().double().numpy()
    for row in (0, 203, 204, 205, 599):
        e = table[ids[row] + 50 * np.arange(20)]
        pairs = sum(e[i] @ e[j] for i in range(20) for j in range(i + 1, 20))
        assert logits[row] == pytest.approx(pairs, abs=1e-5)
