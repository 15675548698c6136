"""Where training batches come from: rows in memory here, rows on disk in `llactr.ctr.training.stream`.

Letters: B rows of a batch, N rows, C id slots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llactr.ctr.training.data import CTRData

__all__ = ["Batch", "HeldOut", "MemoryRows", "TrainingRows"]


class Batch(NamedTuple):
    """Rows to train on: `ids` (B, C) int32, `label` (B,) float32, `version` (B,) int32."""

    ids: Tensor
    label: Tensor
    version: Tensor


class HeldOut(NamedTuple):
    """Rows to validate with: `ids` (N, C) int32, `label` (N,) float32, `version` (N,) int32."""

    ids: NDArray[np.int32]
    label: NDArray[np.float32]
    version: NDArray[np.int32]

    def fingerprint(self) -> str:
        """Content hash of the rows."""
        return _hash_of(*self)


class TrainingRows(Protocol):
    """What the trainer reads. The order of rows is a function of (seed, epoch), so training can go on anywhere."""

    @property
    def row_count(self) -> int:
        """Rows of an epoch."""

    @property
    def held_out(self) -> HeldOut:
        """The validation rows."""

    @property
    def label(self) -> NDArray[np.float32]:
        """Labels of the training rows, or of as many as are at hand."""

    @property
    def fingerprint(self) -> str:
        """Content hash of all rows: what a checkpoint's run and the one that takes it up must share."""

    def batches(self, *, seed: int, epoch: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (counted from 1) from the one numbered `start` (from 0) on; the last may be short."""


class MemoryRows:
    """Rows in memory: a batch is one gather by row numbers. No worker processes and no loader."""

    def __init__(self, data: CTRData) -> None:
        self._ids, self._label = torch.from_numpy(data.ids), torch.from_numpy(data.label)
        self._version = torch.from_numpy(data.version)
        self._rows = torch.from_numpy(data.split.train)
        held = data.split.validation
        self.held_out = HeldOut(data.ids[held], data.label[held], data.version[held])
        self._seed = -1
        self._drawn = 0
        self._order = torch.Generator()

    @property
    def row_count(self) -> int:
        """Rows of an epoch."""
        return len(self._rows)

    @property
    def label(self) -> NDArray[np.float32]:
        """Labels of the training rows."""
        return self._label[self._rows].numpy()

    @cached_property
    def fingerprint(self) -> str:
        """See `TrainingRows.fingerprint`; one pass over the memory."""
        columns = (self._ids, self._label, self._version, self._rows)
        return _hash_of(*(column.numpy() for column in columns), *self.held_out)

    def batches(self, *, seed: int, epoch: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
        """See `TrainingRows.batches`. One generator draws the epochs in turn; an earlier one is drawn again."""
        if seed != self._seed or epoch <= self._drawn:
            self._seed, self._drawn = seed, 0
            self._order.manual_seed(seed)
        while self._drawn < epoch:
            order = torch.randperm(len(self._rows), generator=self._order)
            self._drawn += 1
        for rows in self._rows[order].split(batch_size)[start:]:
            yield Batch(
                self._ids.index_select(0, rows), self._label.index_select(0, rows), self._version.index_select(0, rows)
            )


def _hash_of(*columns: NDArray[Any]) -> str:
    """blake2b over dtypes, shapes and contents."""
    digest = hashlib.blake2b(digest_size=16)
    for column in columns:
        digest.update(f"{column.dtype}{column.shape}".encode())
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
