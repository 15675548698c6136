"""A run that breaks off and is taken up again ends with the bits of one that did not."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_check.check import Found, Setting
from benchmarks.gpu_check.click_rows import click_rows, config, layout
from llactr.ctr import CTRModel, ModelConfig, train
from llactr.ctr.training.batches import Batch, MemoryRows
from llactr.ctr.training.checkpoint import Checkpoints

__all__ = ["exact_resume"]


class _BrokenOffError(Exception):
    pass


class _Breaking(MemoryRows):
    """Rows that end after some batches, as a machine does."""

    def __init__(self, data: Any, batches: int) -> None:
        super().__init__(data)
        self._left = batches

    def batches(self, *, seed: int, epoch: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
        """Those of `MemoryRows`, as long as there are some left."""
        for batch in super().batches(seed=seed, epoch=epoch, batch_size=batch_size, start=start):
            if self._left == 0:
                raise _BrokenOffError
            self._left -= 1
            yield batch


def exact_resume(setting: Setting) -> Found:
    """DeepFM with dropout, for two epochs, broken off in the second; with both optimizers of the tables.

    Where two runs that nothing breaks off differ (sums in an order that the card chooses), torch's deterministic
    algorithms are asked for, and it is said so.
    """
    figures: dict[str, Any] = {}
    for optimizer in ("lazy", "dense"):
        figures[optimizer] = _exact(setting, optimizer)
    passed = all(one["resumed_equals_whole"] for one in figures.values())
    said = ", ".join(
        f"{name}: {'the same bits' if one['resumed_equals_whole'] else 'other bits'}"
        + (" with deterministic algorithms" if one["deterministic_algorithms"] else "")
        for name, one in figures.items()
    )
    return Found(passed, said, figures)


def _exact(setting: Setting, optimizer: str) -> dict[str, Any]:
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        try:
            folder = setting.folder / f"{optimizer}-{deterministic}"
            first, second = _whole(setting, optimizer), _whole(setting, optimizer)
            resumed, steps = _resumed(setting, optimizer, folder)
        finally:
            torch.use_deterministic_algorithms(False)
        found = {
            "deterministic_algorithms": deterministic,
            "two_whole_runs_are_equal": _same(first, second),
            "resumed_equals_whole": _same(first, resumed),
            "taken_up_at_step": steps,
        }
        if found["resumed_equals_whole"] or not setting.on_gpu:
            break
    return found


def _rows(setting: Setting) -> Any:
    data = click_rows(setting)
    train_rows = data.split.train[: setting.size(100_000, 12_000)]
    held_out = data.split.validation[: setting.size(20_000, 4_000)]
    return dataclasses.replace(data, split=dataclasses.replace(data.split, train=train_rows, validation=held_out))


def _settings(setting: Setting, optimizer: str) -> Any:
    return config(
        setting.device,
        embedding_optimizer=optimizer,
        max_epochs=2,
        min_steps=10**6,
        batch_size=setting.size(4096, 2048),
    )


def _model() -> CTRModel:
    wanted = {"backbone": "deepfm", "embedding_dim": 8, "settings": {"dropout": 0.2}}
    return CTRModel(ModelConfig.model_validate(wanted), layout())


def _whole(setting: Setting, optimizer: str) -> CTRModel:
    model = _model()
    train(model, MemoryRows(_rows(setting)), _settings(setting, optimizer))
    return model


def _resumed(setting: Setting, optimizer: str, folder: Path) -> tuple[CTRModel, int]:
    """The model, and the step at which the second run took up."""
    data, wanted = _rows(setting), _settings(setting, optimizer)
    per_epoch = -(-len(data.split.train) // wanted.batch_size)
    with contextlib.suppress(_BrokenOffError):
        train(_model(), _Breaking(data, per_epoch + 3), wanted, checkpoints=Checkpoints(folder, every_steps=2))
    steps = Checkpoints(folder).steps()[-1]
    model = _model()
    train(model, MemoryRows(data), wanted, checkpoints=Checkpoints(folder, every_steps=10**6))
    return model, steps


def _same(one: CTRModel, other: CTRModel) -> bool:
    others = other.state_dict()
    return all(torch.equal(value, others[name]) for name, value in one.state_dict().items())
