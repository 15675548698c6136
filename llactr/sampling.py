"""A share of keys, drawn by their hash: whoever asks, in any process, today or in a year, gets the same keys."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_share", "share_of"]


def share_of(key: str) -> float:
    """A number from 0 to below 1 for a key, the same in every process: the first 53 bits of its 8-byte BLAKE2b hash."""
    return (int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") >> 11) / 2**53


def in_share(keys: Sequence[str], share: float) -> NDArray[np.bool_]:
    """(N,) whether each key belongs to the share; those of a share belong to every larger one."""
    known = {key: share_of(key) < share for key in dict.fromkeys(keys)}
    return np.fromiter((known[key] for key in keys), bool, len(keys))
