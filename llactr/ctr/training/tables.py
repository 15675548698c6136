"""Reading and updating the rows of the embedding tables, wherever they are.

The trainer asks for the different rows of a batch and gives their gradients back; one process answers from its own
tables (here), several keep replicas or shards of them (`llactr.ctr.training.parallel`).

Letters: R rows, U different rows of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from llactr.ctr.training.optimizer import LazyAdam

__all__ = ["LocalTables", "Tables"]


class Tables(Protocol):
    """Tables (R, ...) that share their row numbers, and their optimizer."""

    def fetch(self, rows: Tensor) -> list[Tensor]:
        """Each table's values at (U,) different rows, as copies (U, ...)."""

    def update(self, rows: Tensor, gradients: Sequence[Tensor], *, current: Sequence[Tensor]) -> None:
        """One optimizer step at (U,) different rows; `current` are the values that `fetch` gave, and are used up."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs besides the tables themselves."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the numbers of `state`."""


class LocalTables:
    """Tables of this process alone."""

    def __init__(self, optimizer: LazyAdam) -> None:
        self._optimizer = optimizer

    def fetch(self, rows: Tensor) -> list[Tensor]:
        """See `Tables.fetch`."""
        with torch.no_grad():
            return [table.index_select(0, rows) for table in self._optimizer.tables]

    def update(self, rows: Tensor, gradients: Sequence[Tensor], *, current: Sequence[Tensor]) -> None:
        """See `Tables.update`."""
        self._optimizer.step(rows, gradients, current=current)

    def state(self) -> dict[str, Tensor]:
        """See `Tables.state`."""
        return self._optimizer.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See `Tables.restore`."""
        self._optimizer.restore(state)
