from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from llactr.ctr import CTRData, ModelConfig, Split, TrainConfig, predict, train
from llactr.spec import DatasetSpec
from llactr.transforms import FieldLayout
from research.entity_model import EntityModel, profiles

LAYOUT = FieldLayout(("user", "item"), (6, 7), (1, 1))
SPEC = DatasetSpec.model_validate(
    {
        "name": "films",
        "sources": {name: {"path": name, "format": "parquet"} for name in ("log", "users", "items")},
        "events": "log",
        "timestamp": {"column": "at", "unit": "s"},
        "label": {"column": "liked"},
        "entities": {"user": {"join_key": "uid", "source": "users"}, "item": {"join_key": "iid", "source": "items"}},
        "fields": [
            {"name": "uid", "description": "who it is", "owner": "user", "kind": "categorical"},
            {"name": "home_town", "description": "where from", "owner": "user", "kind": "categorical"},
            {"name": "title", "description": "the title", "owner": "item", "kind": "categorical", "value_text": True},
        ],
    }
)


def _model(backbone: str, rows: int = 8) -> EntityModel:
    draw = np.random.default_rng(0)
    return EntityModel(
        ModelConfig.model_validate({"backbone": backbone, "embedding_dim": 4}),
        LAYOUT,
        vectors={
            "user": draw.normal(size=(3, 5)).astype(np.float32),
            "item": draw.normal(size=(4, 5)).astype(np.float32),
        },
        positions={"user": np.arange(rows) % 3, "item": np.arange(rows) % 4},
        seed=0,
    )


def test_two_fields_join_the_pairs_of_fm() -> None:
    model = _model("fm")
    ids = torch.tensor([[3, 4]], dtype=torch.int32)
    logit = model(ids, torch.tensor([5]))
    table, linear = model.embedding.weight.detach(), model.embedding.linear
    assert linear is not None
    linear = linear.detach()
    with torch.no_grad():
        user = model.adapters["user"](model.get_buffer("_vectors_user")[5 % 3])
        item = model.adapters["item"](model.get_buffer("_vectors_item")[5 % 4])
    parts = torch.stack([table[3], table[6 + 4], user, item])
    pairs = sum(float(parts[i] @ parts[j]) for i in range(4) for j in range(i))
    assert float(logit.detach()) == pytest.approx(pairs + float(linear[3] + linear[10]), abs=1e-6)


def test_rows_with_the_same_ids_differ_by_their_profiles() -> None:
    model = _model("deepfm")
    ids = np.full((8, 2), 1, np.int32)  # all out of vocabulary
    scores = predict(model, ids, np.arange(8, dtype=np.int32))
    assert len(set(scores.tolist())) == 8


def test_adapters_are_trained() -> None:
    draw = np.random.default_rng(1)
    label = (np.arange(400) % 3 == 0).astype(np.float32)  # the user's vector tells all
    ids = draw.integers(3, 6, size=(400, 2)).astype(np.int32)
    split = Split(np.arange(300), np.arange(300, 350), np.arange(350, 400))
    model = _model("fm", rows=400)
    config = TrainConfig(batch_size=64, learning_rate=0.02, max_epochs=20, min_steps=0)
    result = train(model, CTRData(ids, label, np.arange(400, dtype=np.int32), split), config)
    assert result.validation.auc is not None
    assert result.validation.auc > 0.98


def test_profiles_hold_fields_and_the_last_likes() -> None:
    entities = {
        "user": pa.table({"uid": ["1", "2"], "home_town": ["Ghent", None]}),
        "item": pa.table({"iid": ["a", "b", "c"], "title": ["Kolya", "Contempt", "Toy Story"]}),
    }
    likes = pa.table({"uid": ["1", "1", "1"], "iid": ["a", "b", "c"]})
    titles = dict(zip("abc", ["Kolya", "Contempt", "Toy Story"], strict=True))
    users = profiles(SPEC, "user", entities, likes=likes, titles=titles, history=2)  # type: ignore[arg-type]
    assert users["1"] == "A user with home town: Ghent. Liked: Contempt; Toy Story."
    assert "Liked" not in users["2"]
    items = profiles(SPEC, "item", entities, likes=likes, titles=titles, history=2)  # type: ignore[arg-type]
    assert items["b"] == "An item with title: Contempt."
