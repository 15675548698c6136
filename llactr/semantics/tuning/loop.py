"""The loop that tunes an adapter: plain torch, one process, the best epoch is kept. Objectives bring the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llactr.errors import StepError
from llactr.semantics.tuning.config import TuningConfig
from llactr.semantics.tuning.run import TuningRun

if TYPE_CHECKING:
    from llactr.semantics.encoders.torch_encoder import TorchEncoder

__all__ = ["Progress", "TuningProgress", "TuningRun", "rate_at", "tune"]


@dataclass(frozen=True)
class TuningProgress:
    """Where a run stands; `loss` is the mean of the latest steps."""

    phase: Literal["before", "tuning", "after"]
    step: int
    steps: int
    loss: float | None = None


Progress = Callable[[TuningProgress], None]


def rate_at(step: int, *, steps: int, config: TuningConfig) -> float:
    """The learning rate of a step (0 is the first): a linear rise over the warm-up, then constant or down to 0."""
    warmup = round(config.warmup_share * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return config.learning_rate
    left = 1 - (step - warmup) / max(steps - warmup, 1)
    if config.schedule == "cosine":
        left = 0.5 * (1 - math.cos(math.pi * left))
    return config.learning_rate * left


def tune(
    encoder: TorchEncoder,
    *,
    example_count: int,
    loss: Callable[[NDArray[np.int64]], Tensor],
    validate: Callable[[], float] | None,
    config: TuningConfig,
    progress: Progress | None = None,
) -> TuningRun:
    """Tunes a fresh adapter on an encoder, in place, and leaves the adapter of the best epoch.

    The same seed and number of threads give the same bits; torch's global random state is as before afterwards.

    Args:
        encoder: without an adapter.
        example_count: number of training examples.
        loss: the loss of a batch, given the examples' numbers.
        validate: a score after each epoch, higher is better; None keeps the last epoch.
        config: the settings.
        progress: called after every step.

    Raises:
        StepError: the loss is not finite.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    devices = [encoder.device] if encoder.device.type == "cuda" else []
    rng = np.random.default_rng(config.seed)
    batch_count = math.ceil(example_count / config.batch_size)
    steps = config.epochs * batch_count
    losses: list[float] = []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(config.seed)
        encoder.add_adapter(config.lora)
        parameters = encoder.trainable_parameters()
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        scores = [validate()] if validate else []
        best, best_epoch, best_state = (scores[0] if scores else -math.inf), 0, _copy(parameters)
        epoch = 0
        while epoch < config.epochs and epoch - best_epoch < config.patience:
            with encoder.tuning():
                for batch in np.array_split(rng.permutation(example_count), batch_count):
                    for group in optimizer.param_groups:
                        group["lr"] = rate_at(len(losses), steps=steps, config=config)
                    losses.append(_step(loss(batch), parameters, optimizer, config))
                    if progress:
                        progress(TuningProgress("tuning", len(losses), steps, float(np.mean(losses[-10:]))))
            epoch += 1
            if validate:
                scores.append(validate())
            if not validate or scores[-1] >= best:
                best, best_epoch, best_state = (scores[-1] if scores else best), epoch, _copy(parameters)
    with torch.no_grad():
        for parameter, kept in zip(parameters, best_state, strict=True):
            parameter.copy_(kept)
            parameter.requires_grad_(False)
            parameter.grad = None
    return TuningRun(
        losses=tuple(losses),
        validation=tuple(scores),
        best_epoch=best_epoch,
        stopped_early=epoch < config.epochs,
        wall_s=time.perf_counter() - wall,
        cpu_s=time.process_time() - cpu,
    )


def _step(
    loss: Tensor, parameters: Sequence[torch.nn.Parameter], optimizer: torch.optim.Optimizer, config: TuningConfig
) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise StepError(
            f"the loss of a tuning step is {value}: lower the learning rate (it is {config.learning_rate:g}) "
            "or use dtype float32"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, config.gradient_norm)
    optimizer.step()
    return value


def _copy(parameters: Sequence[torch.nn.Parameter]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]
