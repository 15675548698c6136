"""Trains a backbone that is handed over as a module: any `nn.Module` that takes embeddings and gives logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from torch import nn

from llactr.api.scorer import Rows, as_table
from llactr.api.training_data import TrainingData
from llactr.ctr.config import EnhancementConfig, TrainConfig
from llactr.ctr.metrics import Metrics, measure
from llactr.ctr.model import CTRModel, predict
from llactr.ctr.own_backbone import OwnBackbone, OwnModelConfig
from llactr.ctr.training.trainer import EpochRecord, TrainResult
from llactr.ctr.training.trainer import train as run_training
from llactr.datasets.rows import whole_table
from llactr.errors import InputError
from llactr.validation import problems

__all__ = ["TrainedModel", "train"]


@dataclass(frozen=True)
class TrainedModel:
    """What `llactr.train` gives.

    Attributes:
        model: embedding tables, the backbone that was handed over, and the enhancement if there is one.
        rows: what it was trained on.
        result: learning curve, best epoch, validation metrics, cost.
        test: metrics of the test split.

    >>> import llactr, torch
    >>> class Sum(torch.nn.Module):
    ...     linear = True
    ...     def forward(self, embedded, *, first_order, pairs):
    ...         return first_order + embedded.sum((1, 2))
    >>> rows = llactr.open("shop").training_set()
    >>> made = llactr.train(Sum(), rows, embedding_dim=4, training={"max_epochs": 1, "batch_size": 128})
    >>> made.test.rows, type(made.model.backbone.module).__name__
    (78, 'Sum')
    """

    model: CTRModel
    rows: TrainingData
    result: TrainResult
    test: Metrics

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """Click probabilities (N,) float32 of rows that hold all fields; see `llactr.Scorer.load`.

        Raises:
            DataError: a column is missing, or a value cannot be read.

        >>> import llactr, torch
        >>> class Sum(torch.nn.Module):
        ...     linear = True
        ...     def forward(self, embedded, *, first_order, pairs):
        ...         return first_order + embedded.sum((1, 2))
        >>> rows = llactr.open("shop").training_set()
        >>> made = llactr.train(Sum(), rows, embedding_dim=4, training={"max_epochs": 1, "batch_size": 128})
        >>> made.score(rows.to_pandas("test")).shape
        (78,)
        """
        spec = self.rows.spec
        table = whole_table(as_table(rows, spec, whole=True), spec)
        return predict(self.model, self.rows.joined.transform.ids(table))


def train(
    backbone: nn.Module,
    rows: TrainingData,
    *,
    embedding_dim: int = 32,
    enhancement: EnhancementConfig | Mapping[str, Any] | None = None,
    training: TrainConfig | Mapping[str, Any] | None = None,
    progress: Callable[[EpochRecord], None] | None = None,
) -> TrainedModel:
    """Trains a backbone of one's own on a dataset's training set, and measures it on the test split.

    `OpenWorkspace.train` trains the backbones that have a name, into bundles that `llactr serve` takes; a backbone of
    one's own gets one by a package with an entry point `llactr.backbones`.

    Args:
        backbone: called as `backbone(embedded, first_order=..., pairs=...)` with embeddings (B, F, D) float32 of the
            F fields, sums of first-order weights (B,) where it has an attribute `linear` that is true (else None),
            and pair weights (None without an enhancement by FIE); it returns logits (B,). It is trained in place.
        rows: what `OpenWorkspace.training_set` gave.
        embedding_dim: D.
        enhancement: FRE and FIE by the field vectors; None for neither. An empty mapping takes the defaults.
        training: what differs from the defaults of `llactr.ctr.TrainConfig`; its `seed` is also the tables'.
        progress: called after each epoch.

    Raises:
        InputError: the backbone cannot be called like that, or the settings are not valid.
        DataError: a split holds one class.
        StepError: the loss is not finite.

    >>> import llactr, torch
    >>> class Sum(torch.nn.Module):
    ...     def forward(self, embedded, *, first_order, pairs):
    ...         return embedded.sum((1, 2))
    >>> rows = llactr.open("shop").training_set()
    >>> made = llactr.train(Sum(), rows, embedding_dim=4, training={"max_epochs": 2, "min_steps": 0, "batch_size": 128})
    >>> len(made.result.history)
    2
    """
    settings = _checked(TrainConfig, training, "training")
    enhanced = None if enhancement is None else _checked(EnhancementConfig, enhancement, "enhancement")
    joined = rows.joined
    joined.data.check_test_split()
    config = OwnModelConfig(backbone=type(backbone).__name__, embedding_dim=embedding_dim, enhancement=enhanced)
    vectors = None if enhanced is None else joined.field_vectors()
    wrapped = OwnBackbone(backbone)
    model = CTRModel(config, joined.transform.layout, vectors, seed=settings.seed, own=lambda _: wrapped)
    result = run_training(model, joined.data, settings, progress=progress)
    test = joined.data.split.test
    scores = predict(model, joined.data.ids[test], joined.data.version[test])
    return TrainedModel(model, rows, result, measure(joined.data.label[test], scores))


def _checked(kind: type[BaseModel], given: BaseModel | Mapping[str, Any] | None, name: str) -> Any:
    if isinstance(given, kind):
        return given
    try:
        return kind.model_validate(dict(given or {}))
    except ValidationError as error:
        raise InputError(f"the configuration is not valid: {problems(error, kind, prefix=name)}") from None
