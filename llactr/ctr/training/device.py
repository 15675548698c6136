"""Batches on the device where a model is trained, and the precision of a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from llactr.ctr.config import Precision
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.prefetch import prefetched

__all__ = ["on_device", "precision_of"]


def precision_of(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """The context in which a step's loss is computed. `bf16`: products of matrices in bfloat16, the rest in float32."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on the device. For a GPU a thread gathers and pins two ahead, so that copies run beside the step."""
    if device.type == "cpu":
        return batches
    return (
        Batch(*(column.to(device, non_blocking=True) for column in batch))
        for batch in prefetched((Batch(*(column.pin_memory() for column in batch)) for batch in batches), depth=2)
    )
