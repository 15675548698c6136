"""What the state of a key holds, and where each part of it lies in memory.

A state is one record of fixed size: numbers that every key has, then the list of the last events. The records of K keys
are one structured array, which compiled code reads as bytes (`llactr.history.kernels`).

Legend: S windows kept as sums, W windows in tiles, T tiles, Q pair windows, N last events, d = r + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llactr.spec.history import WindowField

__all__ = ["NEVER", "TILES", "Owner", "PairWindow", "StateLayout", "Window", "window_of"]

TILES = 8
"""Tiles of a window that covers a duration."""
NEVER = int(np.iinfo(np.int64).min)
"""The newest time of a key without events."""

Owner = Literal["user", "item"]


@dataclass(frozen=True)
class Window:
    """A window: of all time (`span_us` 0), decaying, or of the last microseconds in tiles."""

    kind: Literal["all", "half_life", "last"]
    span_us: int = 0


@dataclass(frozen=True)
class PairWindow:
    """A window of a user for each value of an item field."""

    category: str
    window: Window


def window_of(spec: WindowField) -> Window:
    """The window that a field reads."""
    if spec.last is not None:
        return Window("last", round(spec.last * 1_000_000))
    if spec.half_life is not None:
        return Window("half_life", round(spec.half_life * 1_000_000))
    return Window("all")


@dataclass(frozen=True)
class StateLayout:
    """What the state of a user, or of an item, holds.

    Attributes:
        owner: whose state.
        sums: windows kept as one pair of numbers; that of all time is the first.
        tiled: windows kept in `TILES` tiles.
        pairs: windows kept for each value of a field; none for items.
        pair_values: at most so many values of each.
        last: N, the events kept one by one; 0 for items.
        tastes: source of vectors -> d of its regression; empty for items.
        delay_us: how long after an event its outcome is known.
        fingerprint: of everything that a state's numbers depend on; states of another one cannot be read.
    """

    owner: Owner
    sums: tuple[Window, ...]
    tiled: tuple[Window, ...]
    pairs: tuple[PairWindow, ...]
    pair_values: int
    last: int
    tastes: Mapping[str, int]
    delay_us: int
    fingerprint: str

    @cached_property
    def record(self) -> np.dtype[np.void]:
        """The record of one key: what every key has, and from `head_bytes` on the list."""
        parts: list[tuple[str, str, tuple[int, ...]]] = [
            ("count", "<i8", ()),
            ("newest", "<i8", ()),
            ("tile", "<i8", (len(self.tiled),)),
            ("sums", "<f4", (len(self.sums), 2)),
            ("tiles", "<f4", (len(self.tiled), TILES, 2)),
        ]
        for source, dim in sorted(self.tastes.items()):
            parts += [(f"mean.{source}", "<f4", (dim,)), (f"covariance.{source}", "<f4", (dim * (dim + 1) // 2,))]
        for at in range(len(self.pairs)):
            parts += [(f"values.{at}", "<u4", (self.pair_values,)), (f"numbers.{at}", "<f4", (self.pair_values, 2))]
        head, size = _placed(parts, 0)
        lists, size = _placed(
            [("items", "<u8", (self.last,)), ("times", "<i8", (self.last,)), ("residuals", "<f4", (self.last,))], size
        )
        columns = head | lists
        return np.dtype(
            {
                "names": list(columns),
                "formats": [(kind, shape) for _, kind, shape in columns.values()],
                "offsets": [start for start, _, _ in columns.values()],
                "itemsize": size,
            }
        )

    def offset(self, name: str) -> int:
        """Where a part begins in a record, in bytes."""
        return int(self.record.fields[name][1])  # type: ignore[index]

    @cached_property
    def head_bytes(self) -> int:
        """Bytes of a record before its list."""
        return self.offset("items")

    @cached_property
    def lists(self) -> NDArray[np.int64]:
        """(3, 2) where items, times and residuals of the list begin in a record, and the bytes of a place in each."""
        return np.array([[self.offset(name), size] for name, size in (("items", 8), ("times", 8), ("residuals", 4))])

    def blank(self, *, prior_taste: float, prior_level: float) -> NDArray[np.void]:
        """(1,) the record of a key without any event."""
        record = np.zeros(1, self.record)
        record["newest"], record["tile"], record["times"] = NEVER, NEVER, NEVER
        for source, dim in self.tastes.items():
            prior = np.full(dim, prior_taste, np.float32)
            prior[-1] = prior_level
            rows, columns = np.triu_indices(dim)
            record[f"covariance.{source}"][0, rows == columns] = prior
        return record


def _placed(
    parts: list[tuple[str, str, tuple[int, ...]]], start: int
) -> tuple[dict[str, tuple[int, str, tuple[int, ...]]], int]:
    """Name -> (first byte, type, shape) of parts that lie one after another; and their end, a multiple of 8."""
    found: dict[str, Any] = {}
    for name, kind, shape in parts:
        found[name] = (start, kind, shape)
        start += int(np.prod(shape)) * np.dtype(kind).itemsize
    return found, -(-start // 8) * 8
