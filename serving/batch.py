"""Rows to score, in columns: what requests become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """Rows to score, in columns. N rows.

    Attributes:
        rows: N.
        keys: owner -> distinct keys (candidate items may repeat).
        places: owner -> (N,) position of each row's key among `keys`; None when there is one key for all rows, or one
            key per row.
        moments: when each row's request happens; one for all, or N.
        contexts: the context fields by name; one for all, or N.
    """

    rows: int
    keys: Mapping[str, Sequence[str]]
    places: Mapping[str, NDArray[np.int64] | None]
    moments: Sequence[datetime]
    contexts: Sequence[Mapping[str, Any]]

    @classmethod
    def of_rows(
        cls, keys: Mapping[str, Sequence[str]], *, moments: Sequence[datetime], contexts: Sequence[Mapping[str, Any]]
    ) -> Batch:
        """Explicit rows: one key per owner and row."""
        distinct: dict[str, Sequence[str]] = {}
        places: dict[str, NDArray[np.int64] | None] = {}
        for owner, column in keys.items():
            place_of: dict[str, int] = {}
            places[owner] = np.fromiter(
                (place_of.setdefault(key, len(place_of)) for key in column), np.int64, len(column)
            )
            distinct[owner] = list(place_of)
        return cls(len(moments), distinct, places, moments, contexts)

    def spread(self, owner: str, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """An owner's (keys, C') ids as (N, C') or, for one key, (1, C')."""
        places = self.places.get(owner)
        return values if places is None else values[places]
