"""A bundle's model as a program of plain tensor operations, ids in and click probabilities out.

Letters: B rows, C id slots, F fields, D embedding dim.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.ctr.bundle import Bundle
from llactr.ctr.model import predict
from llactr.ctr.pairs import PairWeights
from llactr.errors import ConsistencyError, InputError
from llactr.transforms import FIRST, FieldLayout

__all__ = ["TOLERANCE", "ScoreProgram", "checked_gap", "program_facts"]

TOLERANCE = 1e-5
_CHECKED = (1, 7, 20_000)  # the last is more than a backbone takes at once


class ScoreProgram(nn.Module):
    """Local ids (B, C) int64 to click probabilities (B,) float32, without the shortcuts that torch.export cannot take.

    Args:
        bundle: what to export.

    Raises:
        InputError: its model reads history, whose numbers come from a store.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        model = copy.deepcopy(bundle.model).eval().requires_grad_(False)
        if model.history is not None:
            raise InputError("a model that reads history cannot be exported as a program of ids: export one without")
        self.model = model
        layout = bundle.transform.layout
        self.offsets: Tensor
        self.fields: Tensor
        self.multi: Tensor
        slots = np.asarray(layout.slots)[layout.slot_fields] > 1
        self.register_buffer("offsets", torch.from_numpy(layout.offsets[layout.slot_fields]))  # (C,)
        self.register_buffer("fields", torch.eye(layout.field_count)[torch.from_numpy(layout.slot_fields)])  # (C, F)
        self.register_buffer("multi", torch.from_numpy(slots))  # (C,)

    def forward(self, ids: Tensor) -> Tensor:
        """See the class."""
        rows = ids + self.offsets
        present = ((ids != 0) | ~self.multi).to(torch.float32)  # (B, C): PAD is 0
        counts = (present @ self.fields).clamp(min=1)  # (B, F)
        weights = present / (counts @ self.fields.t())  # (B, C)
        table, linear = self.model.embedding.table(), self.model.embedding.linear_table()
        embedded = torch.einsum("bcd,bc,cf->bfd", table[rows], weights, self.fields)
        first_order = None if linear is None else (linear[rows] * weights).sum(1)
        enhancement = self.model.enhancement
        pairs = None if enhancement is None else enhancement.pair_weights(None)
        if pairs is not None:
            pairs = PairWeights(pairs.vectors.detach())
        logits = self.model.backbone(embedded, first_order=first_order, pairs=pairs)
        return torch.sigmoid(self.model.calibrated(logits))


def program_facts(bundle: Bundle) -> dict[str, Any]:
    """What someone needs to make a program's input: the fields' slots in a row of ids, in order."""
    layout = bundle.transform.layout
    fields = [
        {"name": name, "slots": slots, "vocabulary": size}
        for name, slots, size in zip(layout.names, layout.slots, layout.vocab_sizes, strict=True)
    ]
    return {"input": {"name": "ids", "shape": ["rows", layout.slot_count], "type": "int64"}, "fields": fields}


def checked_gap(bundle: Bundle, run: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> float:
    """The largest gap between an exported program's scores and the bundle's, on drawn ids of several batch sizes.

    Raises:
        ConsistencyError: it is more than `TOLERANCE`.
    """
    gap = 0.0
    for seed, rows in enumerate(_CHECKED):
        ids = _drawn(bundle.transform.layout, rows, seed)
        gap = max(gap, float(np.abs(run(ids.astype(np.int64)) - predict(bundle.model, ids)).max()))
    if not gap <= TOLERANCE:
        raise ConsistencyError(
            f"the exported program's scores differ by {gap:.1e} from the bundle's, more than {TOLERANCE:.0e}: "
            "nothing was written; use another format, or another backbone"
        )
    return gap


def _drawn(layout: FieldLayout, rows: int, seed: int) -> NDArray[np.int32]:
    """Local ids (rows, C) of all kinds: values, nulls, values never seen, and slots that are left empty."""
    draw = np.random.default_rng(seed)
    ids = np.zeros((rows, layout.slot_count), np.int32)
    for start, slots, size in zip(layout.slot_starts, layout.slots, layout.vocab_sizes, strict=True):
        ids[:, start] = draw.integers(1, size, rows)
        filled = draw.integers(1, slots + 1, rows)
        for slot in range(1, slots):
            values = draw.integers(min(FIRST, size - 1), size, rows)
            ids[:, start + slot] = np.where(slot < filled, values, 0)
    return ids
