"""A layout as arrays, which is how compiled code reads it.

Legend: B bytes, S sums, W tiled windows, Q pair windows, N last events, I items, d = r + 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "ITEMS",
    "LAST",
    "RESIDUALS",
    "SUMS",
    "TILE",
    "TILE_COUNT",
    "TILE_SLOTS",
    "TIMES",
    "Bytes",
    "Doubles",
    "Floats",
    "Keys",
    "Longs",
    "Plan",
    "compiled",
]

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """The function, compiled when it is first called with arguments of a type.

    It is compiled anew in each process where nothing can be written, neither beside the file nor into the user's cache.
    """
    try:
        return cast(_Function, njit(cache=True)(function))
    except RuntimeError:
        return cast(_Function, njit(function))


class Plan(NamedTuple):
    """A layout and its definition as arrays.

    Attributes:
        at: where in a record: tile, sums, tiles, items, times, residuals; then N, and T tiles.
        lives: (S,) half-lives of sums in microseconds, 0 for those of all time.
        lengths: (W,) length of a tile in microseconds.
        tastes: (sources, 4) d, where mean and covariance lie in a record, and where the vectors begin in `table`.
        pairs: (Q, 4) where values and numbers lie in a record, how many, and where `starts` of their field begin.
        pair_lives: (Q,) half-lives, 0 for all time.
        items: (I,) rising.
        buckets: where in `items` the hashes begin that start with the bits of a number.
        shift: (1,) how far a hash is shifted to give that number.
        table: vectors of I + 1 items, of one source after another.
        starts: per category field, I + 2 places in `values`: an item's values begin at its place.
        values: codes of categories.
    """

    at: Longs
    lives: Doubles
    lengths: Longs
    tastes: Longs
    pairs: Longs
    pair_lives: Doubles
    items: Keys
    buckets: Longs
    shift: Keys
    table: Floats
    starts: Longs
    values: NDArray[np.uint32]


TILE, SUMS, TILE_SLOTS, ITEMS, TIMES, RESIDUALS, LAST, TILE_COUNT = range(8)
"""What `Plan.at` holds."""
