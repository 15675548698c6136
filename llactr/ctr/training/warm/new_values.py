"""What a warm training does first: the rows of values that came since are trained by themselves, all else being still.

One more pass over everything is what known weights can bear: they stand where validation was best, and each further
step goes past it. A new value begins at chance, and one pass is a few small steps for it. So it gets passes of its own,
in which no other number moves, and then goes through the pass over everything like the rest. (docs/live.md has what
either is worth.)

Letters: B rows of a batch, C id slots, R rows of the fused table, U different rows of a batch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llactr.ctr.config import TrainConfig
from llactr.ctr.model import CTRModel
from llactr.ctr.training.data import CTRData
from llactr.ctr.training.device import precision_of
from llactr.ctr.training.optimizer import LazyAdam
from llactr.ctr.training.tables import LocalTables
from llactr.device import pick_device

__all__ = ["train_new_values"]


def train_new_values(
    model: CTRModel,
    data: CTRData,
    config: TrainConfig,
    *,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_],
    passes: int,
) -> int:
    """Trains the embeddings and first-order weights of new values, in place; the model ends on the CPU.

    Rows without a new value say nothing of one and are not read. Adam begins anew, and with the same arguments ends
    with the same bits. It costs a forward and half a backward pass over the rows that are read, for each of the passes.

    Args:
        model: of the new vocabularies, with the weights that it goes on from.
        data: rows.
        config: learning rate, weight decay, batch size, seed, precision, device.
        rows: numbers of the rows that no training has read.
        known: (R,) whether a row of the table is that of a value which has been trained.
        passes: how many.

    Returns:
        How many rows were read in each pass.
    """
    ids = torch.from_numpy(data.ids[rows])
    new = torch.from_numpy(~known)
    reads = new[model.embedding.row_ids(model.split(ids)[0]).long()].any(dim=1)  # (B,)
    count = int(reads.sum())
    if not count or not passes:
        return 0
    device = pick_device(config.device)
    model.to(device).train()
    new = new.to(device)
    columns = [
        column[reads].to(device) for column in (ids, *(torch.from_numpy(c[rows]) for c in (data.label, data.version)))
    ]
    own = [model.embedding.weight] + ([] if model.embedding.linear is None else [model.embedding.linear])
    tables = LocalTables(
        LazyAdam(
            [table.detach() for table in own], learning_rate=config.learning_rate, weight_decay=config.weight_decay
        )
    )
    order = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)  # dropout
        for _ in range(passes):
            for at in torch.randperm(count, generator=order).split(config.batch_size):
                part = at.to(device)
                _step(model, tables, new, [column[part] for column in columns], config)
    model.to("cpu")
    return count


def _step(model: CTRModel, tables: LocalTables, new: Tensor, batch: list[Tensor], config: TrainConfig) -> None:
    """One step on a batch: ids (B, C), labels (B,), versions (B,)."""
    ids, label, version = batch
    with precision_of(new.device, config.precision):
        rows, leaves, lookup = model.embedding.distinct_lookup(
            model.split(ids)[0], tables.fetch, field_major=model.reads_field_major
        )
        loss = model.loss(ids, label, version if model.version_count > 1 else None, lookup=lookup)
    gradients = torch.autograd.grad(loss.total, leaves, allow_unused=True, materialize_grads=True)
    mine = new[rows.long()]  # (U,)
    tables.update(rows[mine], [one[mine] for one in gradients], current=[leaf.detach()[mine] for leaf in leaves])
