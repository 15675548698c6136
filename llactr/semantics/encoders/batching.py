"""Encodes each distinct text once, in batches of similar length, and scatters the vectors back.

Legend: N texts, U distinct texts, L semantic dim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode_distinct"]


def encode_distinct(
    embed: Callable[[list[str]], NDArray[np.float32]],
    texts: Sequence[str],
    *,
    dim: int,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Vectors of texts, in the order of the texts.

    The longest texts go first, so that memory is at its peak at the start. Which texts share a batch depends on the
    texts alone: the same texts in another order give the same bits.

    Args:
        embed: vectors of one batch of texts, (B, L) float32.
        texts: N texts, in any order, repeats allowed.
        dim: L.
        batch_size: texts a batch.
        progress: called with (distinct texts done, U) after each batch.

    Returns:
        float32 of shape (N, L).
    """
    place = dict.fromkeys(texts, -1)
    distinct = sorted(place, key=lambda text: (-len(text), text))
    vectors = np.empty((len(distinct), dim), dtype=np.float32)
    for start in range(0, len(distinct), batch_size):
        batch = distinct[start : start + batch_size]
        vectors[start : start + len(batch)] = embed(batch)
        if progress is not None:
            progress(start + len(batch), len(distinct))
    for row, text in enumerate(distinct):
        place[text] = row
    rows = np.fromiter((place[text] for text in texts), dtype=np.int64, count=len(texts))
    return vectors[rows]
