"""Trains a model on rows in memory, until validation AUC stops rising, and keeps the best weights.

No worker processes and no loader: a batch is one gather by row numbers. The same seed and thread count give the same
bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from llactr.ctr.config import TrainConfig
from llactr.ctr.data import CTRData
from llactr.ctr.metrics import Metrics, measure
from llactr.ctr.model import CTRModel, predict
from llactr.errors import StepError

__all__ = ["EpochRecord", "TrainResult", "make_optimizer", "train"]

_SMALLEST_RISE = 1e-6


@dataclass(frozen=True)
class EpochRecord:
    """A point of the learning curves. Training losses are means over the epoch's steps."""

    epoch: int
    step: int
    train_loss: float
    train_clicks_loss: float
    train_representation_loss: float | None
    validation_auc: float
    validation_logloss: float
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """How training went. `validation` belongs to the best epoch, whose weights the model now has."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_step: int
    steps: int
    validation: Metrics
    seconds: float
    cpu_seconds: float

    def summary(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)


def make_optimizer(model: CTRModel, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam over all parameters; weight decay is added to the gradient, rows that a batch leaves out included."""
    return torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def train(
    model: CTRModel,
    data: CTRData,
    config: TrainConfig,
    *,
    progress: Callable[[EpochRecord], None] | None = None,
) -> TrainResult:
    """Trains the model in place; it ends with the weights of the epoch of the best validation AUC.

    Args:
        model: fresh, or to be trained further.
        data: rows; those of the test split are not read.
        config: how.
        progress: called after each epoch.

    Raises:
        StepError: the loss is not finite.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    ids, label = torch.from_numpy(data.ids), torch.from_numpy(data.label)
    version = torch.from_numpy(data.version) if model.version_count > 1 else None
    rows = torch.from_numpy(data.split.train)
    held = data.split.validation
    held_ids, held_version = ids[held], None if version is None else version[held]
    optimizer = make_optimizer(model, config)
    order = torch.Generator().manual_seed(config.seed)
    history: list[EpochRecord] = []
    best: tuple[EpochRecord, Metrics, dict[str, Tensor]] | None = None
    step = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # dropout
        for epoch in range(1, config.max_epochs + 1):
            model.train()
            sums = torch.zeros(3)
            batches = rows[torch.randperm(len(rows), generator=order)].split(config.batch_size)
            for batch in batches:
                sums += _step(model, optimizer, ids, label, version, batch)
            step += len(batches)
            means = (sums / len(batches)).tolist()
            if not all(map(_finite, means)):
                raise StepError(
                    f"the loss is {means[0]} in epoch {epoch}, after {step} steps: lower the learning rate "
                    f"({config.learning_rate:g}) or the lambdas of the enhancement"
                )
            validation = measure(data.label[held], predict(model, held_ids, held_version))
            assert validation.auc is not None
            assert validation.logloss is not None
            record = EpochRecord(
                epoch=epoch,
                step=step,
                train_loss=means[0],
                train_clicks_loss=means[1],
                train_representation_loss=means[2] if _has_representation_loss(model) else None,
                validation_auc=validation.auc,
                validation_logloss=validation.logloss,
                seconds=time.perf_counter() - wall,
            )
            history.append(record)
            if progress is not None:
                progress(record)
            if best is None or validation.auc > best[0].validation_auc + _SMALLEST_RISE:
                best = (record, validation, {name: value.clone() for name, value in model.state_dict().items()})
            elif epoch - best[0].epoch >= config.patience and step >= config.min_steps:
                break
    assert best is not None
    model.load_state_dict(best[2])
    return TrainResult(
        history=tuple(history),
        best_epoch=best[0].epoch,
        best_step=best[0].step,
        steps=step,
        validation=best[1],
        seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
    )


def _step(
    model: CTRModel,
    optimizer: torch.optim.Optimizer,
    ids: Tensor,
    label: Tensor,
    version: Tensor | None,
    batch: Tensor,
) -> Tensor:
    """One step of the optimizer; (3,) total, clicks and representation loss before it."""
    loss = model.loss(
        ids.index_select(0, batch),
        label.index_select(0, batch),
        None if version is None else version.index_select(0, batch),
    )
    optimizer.zero_grad()
    loss.total.backward()
    optimizer.step()
    representation = loss.clicks.new_zeros(()) if loss.representation is None else loss.representation
    return torch.stack([loss.total, loss.clicks, representation]).detach()


def _has_representation_loss(model: CTRModel) -> bool:
    return model.enhancement is not None and model.enhancement.config.fre


def _finite(number: float) -> bool:
    return number == number and abs(number) != float("inf")
