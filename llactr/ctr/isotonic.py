"""Isotonic calibration: a rising curve of straight pieces from a logit to the one that is scored.

The curve is fitted to validation rows by pool-adjacent-violators (Zadrozny and Elkan 2002; Barlow et al. 1972) over
bins of logits. Where isotonic regression has steps, this has slopes between the middles of the steps, so that no two
rows become equal that were not: AUC stays. Behind the ends it goes on as Platt's line does. With few clicks there is
nothing to bend, and Platt's scale is what is left (`llactr.ctr.calibration`).

Legend: N rows, B bins, K bends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.ctr.calibration import click_rate, platt, shift_for

__all__ = ["Curve", "OutputCurve", "isotonic"]

_MOST_BINS = 20
_CLICKS_A_BIN = 20
"""Clicks, and non-clicks, for each bin on the mean: the log-odds of a bin is then known to about a quarter."""
_DRAWN_ROWS = 2.0
"""Rows of the mean rate that each bin is given, so that one without clicks does not say never."""


@dataclass(frozen=True)
class Curve:
    """z' = scale z + shift + sum_k gain_k max(z - bend_k, 0), rising everywhere.

    Attributes:
        scale: of the line that it is before the first bend.
        shift: of that line.
        bend: (K,) logits at which its slope changes, rising.
        gain: (K,) by how much.
    """

    scale: float
    shift: float
    bend: NDArray[np.float64]
    gain: NDArray[np.float64]

    def __call__(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) to (N,)."""
        bent = np.maximum(logits[:, None] - self.bend, 0) @ self.gain
        return np.asarray(self.scale * logits + self.shift + bent)


class OutputCurve(nn.Module):
    """A `Curve` behind a model's logits; not trained, a property of the model like its weights."""

    def __init__(self, bends: int) -> None:
        super().__init__()
        self.line: Tensor
        self.bend: Tensor
        self.gain: Tensor
        self.register_buffer("line", torch.tensor([1.0, 0.0]))  # scale, shift
        self.register_buffer("bend", torch.zeros(bends))
        self.register_buffer("gain", torch.zeros(bends))

    @classmethod
    def of(cls, curve: Curve) -> OutputCurve:
        """That of a curve."""
        made = cls(len(curve.bend))
        made.line.copy_(torch.tensor([curve.scale, curve.shift]))
        made.bend.copy_(torch.from_numpy(curve.bend))
        made.gain.copy_(torch.from_numpy(curve.gain))
        return made

    def forward(self, logits: Tensor) -> Tensor:
        """(B,) to (B,)."""
        bent = torch.relu(logits.unsqueeze(-1) - self.bend) * self.gain  # (B, K)
        return self.line[0] * logits + self.line[1] + bent.sum(-1)


def isotonic(
    label: NDArray[np.float32], logits: NDArray[np.float32], *, before: NDArray[np.float32] | None = None
) -> Curve | None:
    """The curve of logits (N,) that suits the labels; its mean score on them is the click rate, as with Platt's.

    Args:
        label: (N,) 0 or 1, of both kinds.
        logits: (N,) finite.
        before: labels of earlier rows, as in `platt`.

    Returns:
        None where there are too few clicks for two bends, or the clicks do not rise with the logits.

    Raises:
        DataError: the rows hold one kind, or a logit is not finite.
    """
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]  # takes a while to import

    scale, _ = platt(label, logits, before=before)
    clicks = int(np.count_nonzero(label))
    bins = min(_MOST_BINS, min(clicks, len(label) - clicks) // _CLICKS_A_BIN)
    if bins < 2:
        return None
    values = logits.astype(np.float64)
    middle, rate, rows = _binned(values, label, bins)
    if len(middle) < 2:
        return None
    found = isotonic_regression(rate, weights=rows)
    starts = found.blocks[:-1]
    if len(starts) < 2:
        return None
    bend = np.add.reduceat(middle * rows, starts) / np.add.reduceat(rows, starts)  # (K,)
    level = found.x[starts]
    odds = np.log(level / (1 - level))
    slopes = np.concatenate([[scale], np.diff(odds) / np.diff(bend), [scale]])
    curve = Curve(scale, float(odds[0] - scale * bend[0]), bend, np.diff(slopes))
    shift = shift_for(click_rate(label, before), curve(values))
    return Curve(scale, curve.shift + shift, bend, curve.gain)


def _binned(
    values: NDArray[np.float64], label: NDArray[np.float32], bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(B,) mean logit, smoothed click rate and rows of bins of nearly as many rows; equal logits share a bin."""
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    codes = np.searchsorted(edges, values, side="right")
    rows = np.bincount(codes, minlength=len(edges) + 1).astype(np.float64)
    kept = rows > 0
    sums, clicks = (np.bincount(codes, weights, minlength=len(rows)) for weights in (values, label))
    rate = (clicks + _DRAWN_ROWS * label.mean()) / (rows + _DRAWN_ROWS)
    return sums[kept] / rows[kept], rate[kept], rows[kept]
