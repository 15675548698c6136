"""A loss of clicks and of pairs within a person, and batches that hold such pairs: measured by `research.history`, lost.

Sheng et al. 2022 (Joint Optimization of Ranking and Calibration) and Yan et al. 2022 (Scale Calibration of Deep Ranking
Models) rank and calibrate at once; here RankNet's loss is added to that of clicks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llactr.ctr import CTRModel
from llactr.ctr.model import Loss
from llactr.ctr.training.batches import Batch, MemoryRows

__all__ = ["BlockRows", "JointModel"]

_SHIFTS = 8


class JointModel(CTRModel):
    """Adds `weight` times softplus(-(score of a click - score of another)) over pairs of one user in a batch.

    Each row is compared with the eight that follow among its user's. What is the user's own (`own`, columns of history)
    takes no part: it cannot reorder a request, and between moments it would learn to mend the past: a person whose last
    rating was low rates higher next.
    """

    weight: float
    slot: int
    own: tuple[int, ...]

    def loss(self, ids: Tensor, label: Tensor, version: Tensor | None = None, *, lookup: Any = None) -> Loss:
        version = self._needed(version)
        plain, numbers = self.split(ids)
        lookup = self.embedding.lookup(plain) if lookup is None else lookup
        _, logits = self._logits(lookup, plain, numbers, version)
        clicks = functional.binary_cross_entropy_with_logits(logits, label)
        if self.history is not None and numbers is not None and self.own:
            mine = torch.zeros(numbers.shape[2])
            mine[list(self.own)] = 1
            logits = logits - self.history.logit(numbers * mine)
        order = torch.argsort(plain[:, self.slot], stable=True)
        user, score, clicked = plain[order, self.slot], logits[order], label[order]
        total, count = logits.new_zeros(()), 0
        for shift in range(1, _SHIFTS + 1):
            sign = clicked[shift:] - clicked[:-shift]
            usable = (user[shift:] == user[:-shift]) & (sign != 0)
            total = total + (functional.softplus(-(score[shift:] - score[:-shift]) * sign) * usable).sum()
            count += int(usable.sum())
        return Loss(clicks + self.weight * total / max(count, 1), clicks, None)


class BlockRows(MemoryRows):
    """Rows of a user come `block` at a time, so that a batch holds pairs of them."""

    block: int
    slot: int

    def batches(self, *, seed: int, epoch: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
        random = np.random.default_rng([seed, epoch])
        rows = random.permutation(self._rows.numpy())
        users = self._ids[torch.from_numpy(rows), self.slot].numpy()
        by_user, users = rows[np.argsort(users, kind="stable")], np.sort(users, kind="stable")
        starts = np.flatnonzero(np.append(True, users[1:] != users[:-1]))
        rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
        block = np.unique(users.astype(np.int64) * len(rows) + rank // self.block, return_inverse=True)[1]
        order = np.argsort(random.permutation(int(block.max()) + 1)[block], kind="stable")
        for part in torch.from_numpy(by_user[order]).split(batch_size)[start:]:
            yield Batch(*(column.index_select(0, part) for column in (self._ids, self._label, self._version)))
