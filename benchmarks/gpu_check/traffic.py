"""Bytes that a model has to move through memory, computed from its sizes: a lower bound that no cache undercuts.

What is counted, each once in each direction it has to go: ids; of the table's different rows their values and both of
Adam's moments, read and written; embeddings of the batch and their gradients, written and read; each layer's output and
its gradient, written and read; weights of layers in both passes, and with moments in Adam. Whatever stays on the chip
between two kernels makes the real number smaller, whatever is read twice makes it larger.

Letters: B rows of a batch, F fields, D embedding dim, U different rows of the table in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["scoring_bytes", "search_bytes", "training_bytes"]

_FLOAT, _ID = 4, 4


def training_bytes(
    batch: int, *, fields: int, dim: int, different_rows: float, linear: bool, layers: Sequence[int], bf16: bool
) -> float:
    """Bytes of one training step with lazy tables.

    Args:
        batch: B.
        fields: F.
        dim: D.
        different_rows: U.
        linear: whether rows have a first-order weight beside.
        layers: outputs of the perceptrons' layers, in order; the first reads F D numbers.
        bf16: whether layers' outputs are bfloat16.
    """
    number = 2 if bf16 else _FLOAT
    row = (dim + int(linear)) * _FLOAT
    table = different_rows * row * 6  # value and two moments, read and written
    embedded = 4 * batch * fields * row  # embeddings and gradients, written and read
    outputs = 4 * batch * sum(layers) * number
    weights = _weights(fields * dim, layers)
    # read in both passes in the precision of the products; gradient, weight and moments read, the last three written
    of_weights = 2 * weights * number + 7 * weights * _FLOAT
    return batch * fields * _ID + table + embedded + outputs + of_weights


def scoring_bytes(
    batch: int, *, fields: int, dim: int, different_rows: float, linear: bool, layers: Sequence[int]
) -> float:
    """Bytes of scoring a batch: ids, the table's different rows, embeddings, outputs, weights."""
    row = (dim + int(linear)) * _FLOAT
    numbers = 2 * batch * sum(layers) + _weights(fields * dim, layers)
    return batch * fields * _ID + different_rows * row + 2 * batch * fields * row + numbers * _FLOAT


def search_bytes(vectors: int, *, dim: int, queries: int, queries_at_once: int) -> float:
    """Bytes of an exact search: all vectors once for each group of queries."""
    return -(-queries // queries_at_once) * vectors * dim * _FLOAT


def _weights(inputs: int, layers: Sequence[int]) -> int:
    count = 0
    for outputs in layers:
        count += inputs * outputs
        inputs = outputs
    return count
