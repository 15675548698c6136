"""How history fields enter a model: numbers travel behind a row's ids, and act as scaled embeddings or on the logit.

A row is (C + H,) int32: C ids, then the H history numbers, each the bits of a float32, NaN where there is nothing to
say. So whatever carries, shuffles, shares or stores rows of ids carries history with them.

Letters: B rows, C id slots, H history numbers, G those that the model sees: fields of their own, then two of each
sequence; E those of G that are embedded, D embedding dim.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.ctr.attention import PARTS, TargetAttention
from llactr.ctr.backbones.base import perceptron
from llactr.ctr.config import HistoryInputConfig
from llactr.ctr.scaled import ScaledFields
from llactr.errors import DataError

__all__ = ["HistoryInput", "with_history", "without_level"]

_BOUND = 5.0
_PACE = 10.0
"""First-order weights are this many times the numbers that are kept of them. Adam moves a number by its learning rate a
step: in the few hundred steps of a training a weight near 1, which a person's level wants, would not be reached.
"""
_SMALLEST_STD = 1e-6


def with_history(ids: NDArray[np.int32], history: NDArray[np.float32]) -> NDArray[np.int32]:
    """Rows (N, C + H) int32 of ids (N, C) and history numbers (N, H) float32."""
    if history.ndim != 2 or len(history) != len(ids):
        raise DataError(f"{len(ids)} rows of ids came with history of shape {history.shape}: one row each is needed")
    return np.hstack([ids, np.ascontiguousarray(history, np.float32).view(np.int32)])


def without_level(rows: NDArray[np.int32], config: HistoryInputConfig) -> NDArray[np.int32]:
    """Rows (N, C + H) without their additive numbers: as they differ between candidates of one moment.

    Among the rows of one person, scores differ then by what tells candidates apart, not by what the person's own past
    was at each row's time.
    """
    start = rows.shape[1] - len(config.names)
    own = [start + at for at, name in enumerate(config.names) if name in config.additive]
    found = rows.copy()
    found[:, own] = np.array(np.nan, np.float32).view(np.int32)
    return found


class HistoryInput(nn.Module):
    """Standardises history numbers, and turns them into embeddings and a part of the logit.

    A number is standardised by mean and deviation of training rows and kept within 5 deviations; a missing one is 0,
    and has a vector and a weight of its own. An embedded field's embedding is its vector times its number. Every field
    has a first-order weight, `_PACE` times what is kept of it; with `hidden_units` a perceptron over all numbers is
    added to the logit besides. Of a sequence attention makes two numbers, which are like any other from then on.
    """

    def __init__(self, config: HistoryInputConfig, *, dim: int, init_std: float) -> None:
        super().__init__()
        self.config = config
        self.count = len(config.names)
        """H."""
        in_sequences = {at for start, events in config.sequences for at in range(start, start + PARTS * events)}
        alone = [at for at in range(self.count) if at not in in_sequences]
        count = len(alone) + 2 * len(config.sequences)
        embedded = [place for place, at in enumerate(alone) if config.names[at] not in config.additive]
        embedded += range(len(alone), count)
        self.mean: Tensor
        self.deviation: Tensor
        self._embedded: Tensor
        self._alone: Tensor
        self.register_buffer("mean", torch.zeros(self.count))
        self.register_buffer("deviation", torch.ones(self.count))
        self.register_buffer("_alone", torch.tensor(alone, dtype=torch.long), persistent=False)
        self.register_buffer("_embedded", torch.tensor(embedded, dtype=torch.long), persistent=False)
        self.vectors = nn.Parameter(torch.empty(2, len(embedded), dim).normal_(std=init_std))  # of numbers, of missing
        self.weights = nn.Parameter(torch.zeros(2, count))
        self.attention = nn.ModuleList(TargetAttention(events) for _, events in config.sequences)
        self.mlp = (
            perceptron(2 * count, config.hidden_units, output_dim=1, dropout=config.dropout)
            if config.hidden_units
            else None
        )

    @property
    def embedded_count(self) -> int:
        """E."""
        return len(self._embedded)

    def fit(self, history: NDArray[np.float32]) -> None:
        """Takes mean and deviation from training rows (N, H); a field without a number keeps 0 and 1.

        The events of a sequence share theirs.
        """
        together = [slice(at, at + 1) for at in self._alone.tolist()]
        for start, events in self.config.sequences:
            together += [slice(start + part, start + PARTS * events, PARTS) for part in range(PARTS)]
        for places in together:
            values = history[:, places][~np.isnan(history[:, places])].astype(np.float64)
            if len(values):
                self.mean[places] = float(values.mean())
                deviation = float(values.std())
                self.deviation[places] = deviation if deviation > _SMALLEST_STD else 1.0

    def ids(self, rows: Tensor) -> Tensor:
        """Ids (B, C) of rows (B, C + H)."""
        return rows[:, : -self.count]

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Ids (B, C), and numbers (B, 2, G): standardised, and 1 where they are missing."""
        if rows.dtype != torch.int32:
            raise DataError(f"rows with history have the type {rows.dtype}, expected torch.int32: its bits are numbers")
        raw = rows[:, -self.count :].contiguous().view(torch.float32)  # (B, H)
        missing = torch.isnan(raw)
        scaled = ((raw - self.mean) / self.deviation).clamp(-_BOUND, _BOUND)
        numbers = torch.stack([scaled.masked_fill(missing, 0), missing.to(scaled.dtype)], dim=1)  # (B, 2, H)
        return self.ids(rows), self._attended(numbers) if len(self.attention) else numbers

    def _attended(self, numbers: Tensor) -> Tensor:
        """Numbers (B, 2, G) of (B, 2, H): what attention makes of sequences is never missing."""
        found = [numbers.index_select(2, self._alone)]
        for attention, (start, events) in zip(self.attention, self.config.sequences, strict=True):
            part = numbers[:, :, start : start + PARTS * events].unflatten(2, (events, PARTS))  # (B, 2, L, 3)
            sums = attention(part[:, 0], part[:, 1, :, 1])  # (B, 2)
            found.append(torch.stack([sums, torch.zeros_like(sums)], dim=1))
        return torch.cat(found, dim=2)

    def scaled(self, numbers: Tensor) -> ScaledFields:
        """The E embedded fields of numbers (B, 2, G)."""
        return ScaledFields(numbers.index_select(2, self._embedded), self.vectors)

    def logit(self, numbers: Tensor) -> Tensor:
        """(B,) what numbers (B, 2, G) add to the logit by themselves."""
        first = numbers.flatten(1) @ (_PACE * self.weights).flatten()
        return first if self.mlp is None else first + self.mlp(numbers.flatten(1)).squeeze(1)
