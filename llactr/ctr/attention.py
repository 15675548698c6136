"""Target attention over a person's last events: what they say of one candidate (DIN, Zhou et al. 2018, equation 3).

v_U(A) = sum_j a(e_j, v_A) e_j: the unit a gives each past event a weight by how it lies to the candidate A; the weights
are not normalised, so that a strong interest stays strong. Where we differ: the paper's unit reads trained embeddings
of both items and their outer product. Ours reads what `sequence` of the history says of the pair (the cosine of the
items' fixed vectors, the event's residual, its age), so that it knows items that training never saw; and e_j is
linear in the residual: what is summed up is how much of what was liked, and of what was seen at all, lies near.

Letters: B rows, L events, D embedding dim.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["PARTS", "TargetAttention"]

PARTS = 3
"""Numbers of an event: cosine, residual, age."""
_UNITS = 16


class TargetAttention(nn.Module):
    """Sums over events, by learned weights.

    Args:
        events: L.
    """

    def __init__(self, events: int) -> None:
        super().__init__()
        self.unit = nn.Sequential(nn.Linear(PARTS, _UNITS), nn.PReLU(), nn.Linear(_UNITS, 1))
        self._events = events

    def forward(self, tokens: Tensor, missing: Tensor) -> Tensor:
        """(B, 2) weighted sums of residuals and of ones, over L.

        Args:
            tokens: (B, L, 3) standardised; 0 where missing.
            missing: (B, L) 1 behind the last event.
        """
        weight = (1 + self.unit(tokens).squeeze(2)) * (1 - missing)  # (B, L)
        return torch.stack([(weight * tokens[:, :, 1]).sum(1), weight.sum(1)], dim=1) / self._events
