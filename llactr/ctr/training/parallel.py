"""Several processes train one model together, started by `torchrun`.

Every process reads the same batches and takes its own part of each. Gradients of the dense parameters are added up in
one exchange. The embedding tables are

- `replicated`: each process holds them all; the rows of a step and their gradients are exchanged, and each process
  makes the same update. Best while tables and moments fit beside each other in the memory of one process: (3 D + 3)
  floats a row, so up to some 10 million rows of 32 numbers in 4 GB.
- `sharded`: row r lies in process r mod P; the rows of a step are asked for, and their gradients sent back, in two
  exchanges of the size of the batch. From there on, and where memory is short; the first weights are still drawn whole.

Either way a step computes what one process computes on the whole batch, but for the order of the additions.

Letters: P processes, R rows of the tables, U different rows of this process's part of a batch, D embedding dim.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

# Its functions' default arguments hold the process group there is when it is imported, which torch.optim does: a group
# that were up by then would keep its threads, and they abort the process when they wake while Python shuts down.
import torch.distributed.nn
from torch import Tensor

from llactr.ctr.lookup import distinct_rows, segment_sums
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.optimizer import LazyAdam

__all__ = ["Processes", "ReplicatedTables", "ShardedTables"]


class Processes:
    """This process and those that train with it; alone unless `joined`.

    Attributes:
        rank: which of them this is, from 0.
        count: P.
    """

    def __init__(self, *, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        self.stop_asked = False

    @classmethod
    @contextmanager
    def joined(cls) -> Iterator[Processes]:
        """The processes that `torchrun` started, joined by gloo (nccl where there are GPUs); alone without torchrun."""
        if "WORLD_SIZE" not in os.environ or os.environ["WORLD_SIZE"] == "1":
            yield cls()
            return
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield cls(rank=dist.get_rank(), count=dist.get_world_size())
        finally:
            dist.destroy_process_group()

    def share_of(self, batch: Batch) -> Batch:
        """This process's rows of a batch."""
        if self.count == 1:
            return batch
        rows = len(batch.label)
        part = slice(rows * self.rank // self.count, rows * (self.rank + 1) // self.count)
        return Batch(*(column[part] for column in batch))

    def add_up(self, parameters: Sequence[Tensor], losses: Tensor) -> Tensor:
        """Adds up the gradients of parameters, in place, and the losses, and whether any process was asked to stop.

        Args:
            parameters: with gradients.
            losses: (3,) of this process's share.

        Returns:
            (3,) the sums of the losses.
        """
        if self.count == 1:
            return losses
        asked = losses.new_full((1,), float(self.stop_asked))
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([losses, asked, *(gradient.reshape(-1) for gradient in gradients)])
        dist.all_reduce(flat)
        at = len(losses) + 1
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()
        self.stop_asked = bool(flat[len(losses)] > 0)
        return flat[: len(losses)].clone()

    def gather(self, values: Tensor) -> Tensor:
        """The values of all processes one after another, in the order of their ranks: (N_p, ...) to (sum N_p, ...)."""
        if self.count == 1:
            return values
        sizes = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(values)], device=values.device))
        longest = int(max(size.item() for size in sizes))
        padded = values.new_zeros((longest, *values.shape[1:]))
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(parts, padded)
        return torch.cat([part[: int(size.item())] for part, size in zip(parts, sizes, strict=True)])

    def agree_on(self, candidates: list[int]) -> int | None:
        """The largest number that every process has among its candidates; None when there is none."""
        if self.count == 1:
            return max(candidates, default=None)
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, candidates)
        return max(set.intersection(*(set(numbers) for numbers in found)), default=None)


class ReplicatedTables:
    """The whole tables in each process; see the module's text."""

    def __init__(self, optimizer: LazyAdam, processes: Processes) -> None:
        self._optimizer, self._processes = optimizer, processes

    def fetch(self, rows: Tensor) -> list[Tensor]:
        """See `Tables.fetch`."""
        with torch.no_grad():
            return [table.index_select(0, rows) for table in self._optimizer.tables]

    def update(self, rows: Tensor, gradients: Sequence[Tensor], *, current: Sequence[Tensor]) -> None:
        """See `Tables.update`."""
        all_rows = self._processes.gather(rows)
        all_gradients = self._processes.gather(_side_by_side(gradients))
        _step(self._optimizer, all_rows, all_gradients, gradients)

    def state(self) -> dict[str, Tensor]:
        """See `Tables.state`."""
        return self._optimizer.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See `Tables.restore`."""
        self._optimizer.restore(state)


class ShardedTables:
    """Row r in process r mod P; see the module's text.

    Args:
        whole: the tables as drawn, of which this process copies its rows.
        optimizer_of: makes the optimizer of the shards.
        processes: all of them.
    """

    def __init__(
        self, whole: Sequence[Tensor], optimizer_of: Callable[[list[Tensor]], LazyAdam], processes: Processes
    ) -> None:
        self._processes = processes
        self._optimizer = optimizer_of([table[processes.rank :: processes.count].clone() for table in whole])

    def fetch(self, rows: Tensor) -> list[Tensor]:
        """See `Tables.fetch`. Two exchanges: row numbers out, rows back."""
        with torch.no_grad():
            order, asked, sent, received = self._route(rows)
            tables = self._optimizer.tables
            own = _side_by_side([table.index_select(0, asked) for table in tables])
            values = torch.empty(len(rows), own.shape[1], dtype=own.dtype, device=own.device)
            dist.all_to_all_single(values, own, sent, received)
            back = torch.empty_like(values).index_copy_(0, order, values)
            return [part.contiguous() for part in _apart(back, tables)]

    def update(self, rows: Tensor, gradients: Sequence[Tensor], *, current: Sequence[Tensor]) -> None:
        """See `Tables.update`. Two exchanges: row numbers out, gradients out."""
        order, asked, sent, received = self._route(rows)
        out = _side_by_side(gradients).index_select(0, order)
        arrived = torch.empty(len(asked), out.shape[1], dtype=out.dtype, device=out.device)
        dist.all_to_all_single(arrived, out, received, sent)
        _step(self._optimizer, asked, arrived, gradients)

    def shards(self) -> dict[str, Tensor]:
        """This process's rows of each table, by name; not copied."""
        return {f"shard.{at}": table for at, table in enumerate(self._optimizer.tables)}

    def state(self) -> dict[str, Tensor]:
        """See `Tables.state`."""
        return self._optimizer.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See `Tables.restore`."""
        self._optimizer.restore(state)

    def collect(self) -> list[Tensor]:
        """The whole tables, put together from all processes."""
        count, tables = self._processes.count, []
        for shard in self._optimizer.tables:
            parts = self._processes.gather(shard)
            whole = torch.empty_like(parts)
            at = 0
            for rank in range(count):
                rows = len(range(rank, len(parts), count))
                whole[rank::count] = parts[at : at + rows]
                at += rows
            tables.append(whole)
        return tables

    def _route(self, rows: Tensor) -> tuple[Tensor, Tensor, list[int], list[int]]:
        """Asks the owners for rows.

        Returns:
            The order that sorts `rows` by owner; the row numbers within this process's shards that all processes ask
            for, one process after another; how many rows are asked of each; how many each asks for.
        """
        count = self._processes.count
        owners = rows % count
        order = torch.argsort(owners, stable=True)
        sent = torch.bincount(owners, minlength=count)
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent)
        sent_list, received_list = sent.tolist(), received.tolist()
        asked = torch.empty(sum(received_list), dtype=rows.dtype, device=rows.device)
        dist.all_to_all_single(asked, (rows // count).index_select(0, order), received_list, sent_list)
        return order, asked, sent_list, received_list


def _side_by_side(tables: Sequence[Tensor]) -> Tensor:
    """(U, D) and (U,) to (U, D + 1)."""
    return torch.cat([table.view(len(table), -1) for table in tables], dim=1)


def _apart(values: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of `_side_by_side`."""
    widths = [1 if table.dim() == 1 else table.shape[1] for table in like]
    parts = values.split(widths, dim=1)
    return [part.reshape(len(part)) if table.dim() == 1 else part for part, table in zip(parts, like, strict=True)]


def _step(optimizer: LazyAdam, rows: Tensor, gradients: Tensor, like: Sequence[Tensor]) -> None:
    """Adds up the gradients of rows that several processes name, and takes one step; no rows count as a step too."""
    distinct, _, segments = distinct_rows(rows)
    sums = segment_sums(gradients, segments)
    optimizer.step(distinct, [part.contiguous() for part in _apart(sums, like)])
