"""Hold-out designs: which rows of the training split a draw trains on; validation and test are always whole.

A new one is a function and a line in `_KINDS`.

Letters: T rows of the chronological training split.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import CoreSchema, core_schema

from llactr.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from llactr.spec import DatasetSpec

__all__ = ["Design", "DrawInput"]

_DRAWS = 20
"""Draws have a stream of random numbers of their own."""


@dataclass(frozen=True)
class DrawInput:
    """What a draw is made from.

    Attributes:
        spec: names the items' key.
        rows: all rows, in the order of time.
        training: (T,) int64, numbers of the rows of the chronological training split, rising.
        held_share: share of the items that are held out.
        rng: the draw's own.
    """

    spec: DatasetSpec
    rows: pa.Table
    training: NDArray[np.int64]
    held_share: float
    rng: np.random.Generator


def _all_rows(given: DrawInput, _: int) -> NDArray[np.int64]:
    return given.training


def _without_items(given: DrawInput, _: int) -> NDArray[np.int64]:
    """Without the drawn items, which stay in validation and test: they are the new items of the later time."""
    if "item" not in given.spec.entities:
        raise InputError(
            f"design 'items' holds out items, {given.spec.name!r} has none: choose chronological or rows30"
        )
    items = given.rows[given.spec.entities["item"].join_key].combine_chunks().dictionary_encode()
    keys = np.array(items.dictionary.to_pylist())
    order = np.argsort(keys)
    held = np.zeros(len(keys), np.bool_)
    held[order[given.rng.permutation(len(keys))[: round(given.held_share * len(keys))]]] = True
    codes = items.indices.to_numpy(zero_copy_only=False)[given.training]
    return given.training[~held[codes]]


def _some_rows(given: DrawInput, percent: int) -> NDArray[np.int64]:
    """A random share, in the order of time."""
    count = len(given.training) * percent // 100
    return np.sort(given.rng.choice(given.training, count, replace=False))


_Rows = Callable[[DrawInput, int], NDArray[np.int64]]
_KINDS: dict[str, _Rows] = {"chronological": _all_rows, "items": _without_items, "rows": _some_rows}


@dataclass(frozen=True)
class Design:
    """A design: `chronological`, `items` (without the rows of some items), or `rowsN` (N percent of the rows).

    Attributes:
        kind: selects the rows.
        percent: of the rows, 1 to 99; 0 for the kinds that have none.
    """

    kind: str
    percent: int = 0

    @classmethod
    def parse(cls, name: str) -> Design:
        """The design of a name.

        Raises:
            InputError: there is none; the message lists them.
        """
        found = re.fullmatch(r"([a-z]+)([1-9][0-9]?)?", name)
        kind, percent = found.groups() if found else (name, None)
        if kind not in _KINDS or (kind == "rows") != (percent is not None):
            near = difflib.get_close_matches(name, ("chronological", "items", "rows10", "rows30"), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"design {name!r} is not known: choose chronological, items, or rows1 to rows99 for that percentage "
                f"of the training rows{hint}"
            )
        return cls(kind, int(percent or 0))

    def __str__(self) -> str:
        return f"{self.kind}{self.percent or ''}"

    @property
    def has_draws(self) -> bool:
        """Whether draws differ."""
        return self.kind != "chronological"

    def training_rows(self, spec: DatasetSpec, rows: pa.Table, *, held_share: float, draw: int) -> NDArray[np.int64]:
        """The numbers of the training rows of a draw, rising.

        Args:
            spec: says where the training split ends, and names the items' key.
            rows: all rows, in the order of time.
            held_share: share of the items that `items` holds out.
            draw: which; each has random numbers of its own.

        Raises:
            InputError: items are to be held out, and the dataset has none.
        """
        from llactr.transforms import chronological_split  # not with a configuration: it brings pyarrow

        training = np.arange(len(chronological_split(rows.num_rows, spec.split).train), dtype=np.int64)
        rng = np.random.default_rng([_DRAWS, draw])
        return _KINDS[self.kind](DrawInput(spec, rows, training, held_share, rng), self.percent)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        """Read from a name, written as a name."""
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="always")
        )


def _read(given: object) -> Design:
    if isinstance(given, Design):
        return given
    if not isinstance(given, str):
        raise ValueError(f"a design is given by its name, found {given!r}")
    try:
        return Design.parse(given)
    except InputError as error:
        raise ValueError(str(error)) from None
