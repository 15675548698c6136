"""The periods of a walk: which rows are known when each begins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llactr.errors import InputError

__all__ = ["Period", "periods_of"]


class Period(NamedTuple):
    """Rows [start, stop) are scored; those before are known. `begins` is in microseconds."""

    number: int
    begins: int
    start: int
    stop: int


def periods_of(times: NDArray[np.int64], *, every_us: int, first: float) -> list[Period]:
    """Cuts rows into periods of one length, counted from the first row on; periods without a row are left out.

    Args:
        times: (N,) event times in microseconds, rising.
        every_us: length of a period.
        first: share of the rows that lie before the first period, at least.

    Raises:
        InputError: there is no period behind these rows.
    """
    ends = np.arange(times[0], times[-1] + every_us, every_us)
    rows = np.searchsorted(times, ends, side="left")
    found: list[Period] = []
    for begins, start, stop in zip(ends, rows, [*rows[1:], len(times)], strict=True):
        if start >= first * len(times) and stop > start:
            found.append(Period(len(found), int(begins), int(start), int(stop)))
    if not found:
        raise InputError(
            f"{len(times):,} rows over {(times[-1] - times[0]) / 86_400_000_000:.1f} days leave no period of "
            f"{every_us / 86_400_000_000:g} days behind the first {first:.0%}: give a shorter --every"
        )
    return found
