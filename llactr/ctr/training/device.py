"""Where a model is trained, and in which precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from llactr.ctr.config import Precision
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.prefetch import prefetched
from llactr.errors import InputError

__all__ = ["on_device", "pick_device", "precision_of"]


def pick_device(name: str) -> torch.device:
    """The device of a name; `auto` is the first GPU that can really add two numbers, else the CPU.

    Raises:
        InputError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda") if torch.cuda.is_available() and _works("cuda") else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r} is not known: choose auto, cpu, cuda or cuda:<number>") from None
    if not _works(name):
        raise InputError(f"device {name!r} cannot be used on this machine: choose auto or cpu")
    return device


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


def _works(name: str) -> bool:
    try:
        return bool((torch.ones(1, device=name) + 1).item() == 2)
    except (RuntimeError, AssertionError):
        return False
