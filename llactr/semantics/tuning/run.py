"""What a tuning measured: plain figures, read by reports that need no language model."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TuningRun"]


@dataclass(frozen=True)
class TuningRun:
    """What happened.

    Attributes:
        losses: the loss of every step taken.
        validation: the validation score of the start (index 0) and after each epoch.
        best_epoch: the epoch whose adapter was kept, 0 for the untuned start.
        stopped_early: whether patience ran out before the last epoch.
        wall_s: seconds of the clock.
        cpu_s: seconds of this process's CPU time.
    """

    losses: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int
    stopped_early: bool
    wall_s: float
    cpu_s: float
