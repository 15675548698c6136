"""What a field's vector can carry over to FwFM's pair weights: to a field that is new, or to another dataset.

Pair weights are fixed up to the sign of each field: flip e_k, u_k and every r_jk, and the model is the same. So weights
are taken from one model at a time, never averaged over models.

Letters: F fields, P = F(F-1)/2 pairs j<k row by row, L semantic dim; A where weights were learned, B where they go.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llactr.ctr import CTRModel
from llactr.ctr.backbones.fwfm import FwFM
from llactr.ctr.pairs import pair_matrix
from llactr.transforms import FieldLayout

__all__ = ["Vectors", "carried", "cosines", "donor_row", "mean_row", "pair_weights", "set_pair_weights", "take_over"]

Vectors = NDArray[np.floating[Any]]


def cosines(first: Vectors, second: Vectors) -> Vectors:
    """(F, G) cosines between the rows of (F, L) and of (G, L)."""
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second)]
    return np.asarray(unit[0] @ unit[1].T)


def carried(weights: Vectors, likeness: Vectors, *, temperature: float) -> Vectors:
    """Pair weights of B from those of A: the mean over pairs of A, by how much both fields are like the pair's.

    With m_ja = softmax over a of likeness_ja / temperature: r_jk = sum m_ja m_kb R_ab / sum m_ja m_kb over a != b.

    Args:
        weights: (F_A, F_A) symmetric; the diagonal is not read.
        likeness: (F_B, F_A) cosines.
        temperature: of the softmax; near 0 each field takes its nearest.

    Returns:
        (F_B, F_B) symmetric with a zero diagonal.
    """
    scaled = likeness / temperature
    match = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    match /= match.sum(axis=1, keepdims=True)  # (F_B, F_A)
    apart = 1.0 - np.eye(len(weights))
    total = match @ (weights * apart) @ match.T
    share = match @ apart @ match.T  # 0 where both fields take the same field of A alone
    found = np.divide(total, share, out=np.zeros_like(total), where=share > 1e-9)
    np.fill_diagonal(found, 0)
    return np.asarray(found)


def donor_row(weights: Vectors, donor: int) -> Vectors:
    """(F,) pair weights of a field like `donor`; the pair with the donor itself gets the mean of the others.

    Args:
        weights: (F, F) symmetric, of the fields that there are.
        donor: which of them.
    """
    row = np.array(weights[donor])
    row[donor] = np.delete(weights[donor], donor).mean()
    return row


def mean_row(weights: Vectors) -> Vectors:
    """(F,) with each field, the mean of its pair weights with the F - 1 others."""
    apart = 1.0 - np.eye(len(weights))
    return np.asarray((weights * apart).sum(0) / (len(weights) - 1))


def pair_weights(model: CTRModel) -> Vectors:
    """(F, F) float64 r of an FwFM, symmetric with a zero diagonal."""
    matrix = pair_matrix(_fwfm(model).pair_weight.detach(), field_count=model.embedding.field_count)
    return np.asarray(matrix.numpy(), np.float64)


def set_pair_weights(model: CTRModel, weights: Vectors, *, held: bool = False) -> None:
    """Puts (F, F) weights into an FwFM; `held` ones are not trained."""
    fields = model.embedding.field_count
    first, second = np.triu_indices(fields, 1)
    backbone = _fwfm(model)
    with torch.no_grad():
        backbone.pair_weight.copy_(torch.from_numpy(weights[first, second]))
    backbone.pair_weight.requires_grad_(not held)


def take_over(old: CTRModel, layout: FieldLayout, *, new_field: int, into: CTRModel) -> None:
    """Copies a trained FwFM into one that has one more field, whose own parameters stay as they are.

    Args:
        old: without the field.
        layout: of `into`; the other fields have the same tables in both.
        new_field: position of the field among those of `into`.
        into: changed in place.
    """
    ours, theirs = _fwfm(into), _fwfm(old)
    others = [k for k in range(layout.field_count) if k != new_field]
    rows = np.repeat(np.arange(layout.field_count), layout.vocab_sizes) != new_field  # (R,)
    weights = pair_weights(into)
    weights[np.ix_(others, others)] = pair_weights(old)
    set_pair_weights(into, weights)
    with torch.no_grad():
        into.embedding.weight[torch.from_numpy(rows)] = old.embedding.weight
        ours.linear_weight[torch.tensor(others)] = theirs.linear_weight
        ours.bias.copy_(theirs.bias)


def _fwfm(model: CTRModel) -> FwFM:
    assert isinstance(model.backbone, FwFM)
    return model.backbone
