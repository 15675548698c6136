"""Batches on the device where a model is trained, and the precision of a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from llactr.ctr.config import Precision
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.prefetch import prefetched
from llactr.errors import InputError

__all__ = ["check_precision", "on_device", "precision_of"]


def check_precision(device: torch.device, precision: Precision) -> None:
    """Whether a device computes in a precision.

    Raises:
        InputError: bfloat16 was asked of a GPU that has no arithmetic for it.
    """
    if precision == "fp32" or device.type != "cuda":
        return
    with torch.cuda.device(device):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return
    raise InputError(
        f"precision 'bf16' needs a GPU that computes in bfloat16, {torch.cuda.get_device_name(device)!r} does not: "
        "use precision fp32"
    )


def precision_of(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """The context in which a step's loss is computed. `bf16`: products of matrices in bfloat16, the rest in float32."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on the device.

    For a GPU a thread gathers and pins two batches ahead and copies them on a stream of its own, so that a copy runs
    beside the step before it; the step waits for its own batch alone.
    """
    if device.type == "cpu":
        return batches
    return _arrived(prefetched(_copied(batches, device), depth=2), device)


def _copied(batches: Iterator[Batch], device: torch.device) -> Iterator[tuple[Batch, torch.cuda.Event]]:
    """Batches whose copies have begun, with what marks their end."""
    stream = torch.cuda.Stream(device)
    for batch in batches:
        with torch.cuda.stream(stream):
            moved = Batch(*(column.pin_memory().to(device, non_blocking=True) for column in batch))
            done = stream.record_event()
        yield moved, done


def _arrived(copied: Iterator[tuple[Batch, torch.cuda.Event]], device: torch.device) -> Iterator[Batch]:
    stream = torch.cuda.current_stream(device)
    for batch, done in copied:
        stream.wait_event(done)
        for column in batch:
            column.record_stream(stream)  # its memory is the copying stream's, which may not have it back before
        yield batch
