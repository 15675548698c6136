"""The last step from a logit to the one that is scored: z' = scale z + shift, a property of the model like its weights.

Before training the shift may hold the class prior, so that a model of rare clicks does not spend its first epochs on
learning that they are rare. After training both may be fitted on validation rows (Platt 1999): a model that has learned
nothing then says the click rate, and not more. `predict`, bundles and the service read both with the weights.

Legend: N rows.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.errors import DataError

__all__ = ["OutputScale", "click_rate", "log_odds", "platt", "shift_for"]

_STEPS = 50
_CLOSE = 1e-9
_LONGEST_STEP = 3.0
_LEAST = 0.01
"""Standard deviation of what is left of logits that prove nothing: rows keep their order, and no confidence."""


class OutputScale(nn.Module):
    """z' = scale z + shift. Neither is trained with the weights: weight decay would pull a prior back to one half."""

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("shift", torch.tensor(shift))

    def forward(self, logits: Tensor) -> Tensor:
        """(B,) to (B,)."""
        return self.scale * logits + self.shift

    def then(self, scale: float, shift: float) -> None:
        """Has a second such step follow: scale (self) + shift."""
        self.shift.mul_(scale).add_(shift)
        self.scale.mul_(scale)


def log_odds(label: NDArray[np.float32]) -> float:
    """log(p / (1 - p)) of the click rate of rows (N,), half a click and half a non-click added (Haldane 1956)."""
    clicks = float(np.count_nonzero(label))
    return math.log((clicks + 0.5) / (len(label) - clicks + 0.5))


def platt(
    label: NDArray[np.float32], logits: NDArray[np.float32], *, before: NDArray[np.float32] | None = None
) -> tuple[float, float]:
    """The scale and shift of logits (N,) that suit the labels: logistic regression on one number (Platt 1999).

    The scale is shrunk by what chance alone would give, the positive part of 1 - 1/t^2, t being scale over standard
    error (James and Stein 1961): where few clicks prove nothing, nearly nothing is left, and every row is given about
    the click rate. It stays above zero: a calibration turns no order around. The shift makes the mean score on these
    rows the click rate: that of earlier rows, moved to that of these rows by what is left of their difference (in
    log-odds) after the same shrinkage. Newton's method.

    Args:
        label: (N,) 0 or 1, of both kinds.
        logits: (N,) finite.
        before: labels of earlier rows, which know the click rate better if it has not changed; None for none.

    Raises:
        DataError: the rows hold one kind, or a logit is not finite.
    """
    clicks = int(np.count_nonzero(label))
    if not 0 < clicks < len(label):
        raise DataError(f"a calibration needs clicks and non-clicks, found {clicks} clicks in {len(label)} rows")
    if not np.isfinite(logits).all():
        raise DataError("logits are not finite: the model has diverged")
    values = logits.astype(np.float64)
    mean, spread = float(values.mean()), float(values.std())
    rate = click_rate(label, before)
    if spread < _CLOSE:
        return 1.0, shift_for(rate, np.full(len(values), mean))
    z, y = (values - mean) / spread, (label > 0).astype(np.float64)  # (N,)
    weight, shift, error = 0.0, log_odds(label), 1.0
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(weight * z + shift)))
        slack = p * (1 - p)
        gradient = np.array([((p - y) * z).sum(), (p - y).sum()])
        curvature = np.array([[(slack * z * z).sum(), (slack * z).sum()], [(slack * z).sum(), slack.sum()]])
        inverse = np.linalg.pinv(curvature)
        step = np.clip(inverse @ gradient, -_LONGEST_STEP, _LONGEST_STEP)
        weight, shift, error = weight - float(step[0]), shift - float(step[1]), math.sqrt(float(inverse[0, 0]))
        if float(np.abs(step).max()) < _CLOSE:
            break
    left = _beyond_chance(weight, error) if weight > 0 else 0.0
    scale = max(left, _LEAST * min(spread, 1.0)) / spread
    return scale, shift_for(rate, scale * values)


def _beyond_chance(value: float, error: float) -> float:
    """What is left of an estimate: value times the positive part of 1 - (error / value)^2."""
    return value * max(1 - (error / value) ** 2, 0.0) if value else 0.0


def click_rate(label: NDArray[np.float32], before: NDArray[np.float32] | None) -> float:
    """The click rate that is to be expected of rows like these."""
    clicks = int(np.count_nonzero(label))
    if before is None or not 0 < np.count_nonzero(before) < len(before):
        return clicks / len(label)
    error = math.sqrt(sum(1 / (c + 0.5) for c in (clicks, np.count_nonzero(before))))
    odds = log_odds(before) + _beyond_chance(log_odds(label) - log_odds(before), error)
    return 1 / (1 + math.exp(-odds))


def shift_for(rate: float, logits: NDArray[np.float64]) -> float:
    """The shift of logits (N,) with which their mean probability is a rate between 0 and 1."""
    shift = math.log(rate / (1 - rate)) - float(logits.mean())
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(logits + shift)))
        gap = p.sum() - rate * len(logits)
        step = float(np.clip(gap / max((p * (1 - p)).sum(), _CLOSE), -_LONGEST_STEP, _LONGEST_STEP))
        shift -= step
        if abs(step) < _CLOSE:
            break
    return shift
