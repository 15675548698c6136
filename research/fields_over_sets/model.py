"""An FM whose fields and pairs of fields have gates that can be told apart from its embeddings.

    logit = b + sum_k exp(a_k) w_k + sum_{j<k} exp(p_jk) <v_j, v_k>

w_k and v_k are the weight and the vector of the value in field k (a list's mean). They are decayed and the gates are not,
so that a gate says how much the field's values, or the pair's, have to say; unlike FwFM's weights, it has no sign that
embeddings could flip, and can be compared between data sets.

Letters: N rows, C id slots, F fields, P = F(F-1)/2 pairs j<k row by row, D embedding dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.ctr.metrics import auc
from llactr.transforms import PAD, FieldLayout

__all__ = ["GatedFM", "Gates", "fitted", "scored"]

DIM, DECAY, GATE_DECAY, RATE, GATE_RATE = 8, 1e-4, 1e-3, 0.02, 0.06


@dataclass(frozen=True)
class Gates:
    """Logarithms: of the fields (F,) and of the pairs (P,)."""

    fields: NDArray[np.float64]
    pairs: NDArray[np.float64]

    @classmethod
    def none(cls, fields: int) -> Gates:
        """All fields and pairs alike: the FM."""
        return cls(np.zeros(fields), np.zeros(fields * (fields - 1) // 2))


class GatedFM(nn.Module):
    """See the module's docstring. Gates begin at `gates` and are trained with the rest unless `held`."""

    def __init__(self, layout: FieldLayout, gates: Gates, *, prior: float, seed: int, held: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layout = layout
        self.weight = nn.Embedding(layout.total_rows, 1, _weight=torch.zeros(layout.total_rows, 1))
        vectors = torch.randn(layout.total_rows, DIM, generator=generator) * 0.05
        self.vector = nn.Embedding(layout.total_rows, DIM, _weight=vectors)
        self.bias = nn.Parameter(torch.tensor(float(np.log(prior / (1 - prior)))))
        self.field_gate = nn.Parameter(torch.from_numpy(gates.fields).float(), requires_grad=not held)
        self.pair_gate = nn.Parameter(torch.from_numpy(gates.pairs).float(), requires_grad=not held)
        self.start = (self.field_gate.detach().clone(), self.pair_gate.detach().clone())
        self.first, self.second = (torch.from_numpy(side) for side in np.triu_indices(layout.field_count, 1))
        self.offsets = torch.from_numpy(layout.offsets[layout.slot_fields])
        member = torch.zeros(layout.slot_count, layout.field_count)
        member[torch.arange(layout.slot_count), torch.from_numpy(layout.slot_fields)] = 1
        self.member = member

    def forward(self, ids: Tensor) -> Tensor:
        """(N,) logits of ids (N, C)."""
        used = (ids != PAD).float()  # N x C
        rows = ids + self.offsets
        share = used.unsqueeze(2) * self.member  # N x C x F
        share = share / share.sum(1, keepdim=True).clamp(min=1)
        weights = torch.einsum("ncf,nc->nf", share, self.weight(rows).squeeze(2))
        vectors = torch.einsum("ncf,ncd->nfd", share, self.vector(rows))
        matrix = torch.zeros(self.layout.field_count, self.layout.field_count)
        matrix = matrix.index_put((self.first, self.second), self.pair_gate.exp())
        pairs = torch.einsum("nfd,fg,ngd->n", vectors, matrix, vectors)
        return self.bias + weights @ self.field_gate.exp() + pairs

    def gates(self) -> Gates:
        """As they are now."""
        return Gates(self.field_gate.detach().double().numpy(), self.pair_gate.detach().double().numpy())


def fitted(
    model: GatedFM,
    ids: NDArray[np.int32],
    label: NDArray[np.float32],
    held_out: tuple[NDArray[np.int32], NDArray[np.float32]],
    *,
    seed: int,
    batch: int,
    steps: int,
    every: int,
) -> tuple[GatedFM, float]:
    """Trains by Adam, looks at held-out rows `every` so many steps, and keeps the weights of the best AUC there.

    Returns:
        The model, and that AUC.
    """
    decayed = [model.weight.weight, model.vector.weight]
    gates = [gate for gate in (model.field_gate, model.pair_gate) if gate.requires_grad]
    groups = [{"params": [*decayed, model.bias], "lr": RATE}, {"params": gates, "lr": GATE_RATE}]
    optimizer = torch.optim.Adam(groups if gates else groups[:1])
    rows, clicks = torch.from_numpy(ids).long(), torch.from_numpy(label)
    order = np.random.default_rng(seed)
    queue: list[NDArray[np.int64]] = []
    best, state = -1.0, None
    for step in range(1, steps + 1):
        if not queue:
            shuffled = order.permutation(len(rows))
            queue = [shuffled[at : at + batch] for at in range(0, len(rows), batch)]
        chosen = torch.from_numpy(queue.pop())
        loss = nn.functional.binary_cross_entropy_with_logits(model(rows[chosen]), clicks[chosen])
        loss = loss + DECAY * sum(values.square().sum() for values in decayed) / 2
        for gate, start in zip((model.field_gate, model.pair_gate), model.start):
            loss = loss + GATE_DECAY * (gate - start).square().sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % every == 0:
            found = auc(held_out[1], scored(model, held_out[0]))
            if found > best:
                best, state = found, {name: value.clone() for name, value in model.state_dict().items()}
    assert state is not None
    model.load_state_dict(state)
    return model, best


def scored(model: GatedFM, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """(N,) logits."""
    with torch.inference_mode():
        parts: Sequence[Tensor] = [model(part) for part in torch.from_numpy(ids).long().split(8192)]
        return torch.cat(list(parts)).numpy()
