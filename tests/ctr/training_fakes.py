"""Made-up clicks whose odds are a sum of weights per value, and models for them."""

from __future__ import annotations

import numpy as np
import torch

from llactr.ctr import CTRData, CTRModel, EnhancementConfig, ModelConfig, Split
from llactr.ctr.config import HistoryInputConfig
from llactr.ctr.history import with_history
from llactr.transforms import FieldLayout

SIZES = (40, 9, 23, 6)
PAST = HistoryInputConfig(names=("level", "rate", "count"), additive=("level",), hidden_units=(4,))


def layout(*, multi_valued: bool = False) -> FieldLayout:
    slots = (1, 1, 3, 1) if multi_valued else (1, 1, 1, 1)
    return FieldLayout(("user", "age", "genre", "hour"), SIZES, slots)


def clicks(rows: int = 3000, *, multi_valued: bool = False, seed: int = 0, history: bool = False) -> CTRData:
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, size, rows) for size in SIZES]
    odds = sum(rng.normal(0, 1, size)[column] for size, column in zip(SIZES, columns, strict=True))
    if multi_valued:
        more = rng.integers(0, SIZES[2], (rows, 2)) * (rng.random((rows, 2)) < 0.5)
        columns[3:3] = [more[:, 0], more[:, 1]]
    label = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    cut, end = rows * 7 // 10, rows * 9 // 10
    split = Split(np.arange(cut), np.arange(cut, end), np.arange(end, rows))
    ids = np.stack(columns, 1).astype(np.int32)
    if history:  # the first says something of the label, the others nothing; of some rows there is nothing to say
        numbers = rng.normal(0, 1, (rows, 3)).astype(np.float32)
        numbers[:, 0] += label
        numbers[rng.random((rows, 3)) < 0.2] = np.nan
        ids = with_history(ids, numbers)
    return CTRData(ids, label, np.zeros(rows, np.int32), split)


def model(
    backbone: str, *, enhanced: bool = False, multi_valued: bool = False, dropout: bool = True, history: bool = False
) -> CTRModel:
    settings = {} if dropout or backbone in {"fm", "fwfm", "fmfm"} else {"dropout": 0.0}
    config = ModelConfig.model_validate(
        {"backbone": backbone, "embedding_dim": 8, "init_std": 0.1, "settings": settings}
        | ({"enhancement": EnhancementConfig()} if enhanced else {})
        | ({"history": PAST} if history else {})
    )
    vectors = torch.randn(1, 4, 12, generator=torch.Generator().manual_seed(7))
    return CTRModel(config, layout(multi_valued=multi_valued), vectors, seed=3)
