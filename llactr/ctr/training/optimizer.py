"""Adam that touches only the rows of a table that a batch reads.

torch's Adam walks over every row of every table in each step: with a million features that is nearly all of the time of
a small model. Lazy Adam updates the rows of the batch, and their moments, alone.

How it differs from dense Adam, for a row that some steps leave out:

- its moments do not decay meanwhile, and its momentum does not move it meanwhile;
- weight decay (coupled: added to the gradient) works only in the steps that read the row, so a row decays in proportion
  to how often it occurs. A rare feature is barely decayed; dense Adam decays it in every step.

The bias correction counts the table's steps, not those of a row. A table whose every row is read in every step is
updated exactly as by `torch.optim.Adam(fused=True)`: the arithmetic is torch's own.

Letters: R rows of a table, U different rows of a batch, D embedding dim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

__all__ = ["LazyAdam"]

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8


class LazyAdam:
    """Adam over tables that share their row numbers, such as embeddings (R, D) and first-order weights (R,).

    Memory: two more tables of the same size, and three arrays (U, D) in a step.

    Args:
        tables: updated in place.
        learning_rate: of all rows.
        weight_decay: coupled, on the rows of each step; see the module's text.
    """

    def __init__(self, tables: Sequence[Tensor], *, learning_rate: float, weight_decay: float = 0.0) -> None:
        self.tables = [table.detach() for table in tables]
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self._first = [torch.zeros_like(table) for table in self.tables]
        self._second = [torch.zeros_like(table) for table in self.tables]
        self._steps = torch.zeros((), device=self.tables[0].device)

    @torch.no_grad()
    def step(self, rows: Tensor, gradients: Sequence[Tensor], *, current: Sequence[Tensor] | None = None) -> None:
        """One step on some rows.

        Args:
            rows: (U,) int, all different.
            gradients: of each table, (U, D) or (U,).
            current: the tables' values at these rows, if at hand; they are overwritten.
        """
        values = [table.index_select(0, rows) for table in self.tables] if current is None else list(current)
        first = [moment.index_select(0, rows) for moment in self._first]
        second = [moment.index_select(0, rows) for moment in self._second]
        adam(
            values, list(gradients), first, second, [], [self._steps.clone() for _ in values],
            fused=True, amsgrad=False, beta1=_BETA1, beta2=_BETA2, lr=self.learning_rate,
            weight_decay=self.weight_decay, eps=_EPS, maximize=False,
        )  # fmt: skip
        self._steps += 1
        index = rows.long()
        for wholes, parts in ((self.tables, values), (self._first, first), (self._second, second)):
            for whole, part in zip(wholes, parts, strict=True):
                whole.index_copy_(0, index, part)

    def state(self) -> dict[str, Tensor]:
        """The moments and the count of steps, by name; not copied."""
        named = {f"first.{at}": moment for at, moment in enumerate(self._first)}
        named |= {f"second.{at}": moment for at, moment in enumerate(self._second)}
        return named | {"steps": self._steps}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the numbers of `state`."""
        for name, own in self.state().items():
            own.copy_(state[name])
