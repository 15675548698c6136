"""Edit distance of lists: how many things have to be put in, taken out or exchanged to make one of the other.

V. I. Levenshtein, Binary codes capable of correcting deletions, insertions, and reversals, 1966.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

__all__ = ["edit_distance"]


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The Levenshtein distance of two lists; two neighbours that changed places count 2.

    Cost: as many steps as `first` is long, each over an array as long as `second`.
    """
    codes = {one: code for code, one in enumerate(dict.fromkeys([*first, *second]))}
    other = np.array([codes[one] for one in second], np.int64)
    places = np.arange(len(other) + 1)
    row = places.copy()
    for at, one in enumerate(first, 1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (other != codes[one]))
        best = np.concatenate([[at], changed])
        row = np.minimum.accumulate(best - places) + places  # what is put in goes along the row, 1 a place
    return int(row[-1])
