"""One field of the log beside its offline values: equal, different, missing, extra; of lists also length and edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llactr.diagnostics.skew.edits import edit_distance

__all__ = ["FieldSkew", "ListSkew"]

_EXAMPLES = 3


@dataclass
class ListSkew:
    """Pairs of lists: their lengths, and the edits from one to the other.

    Attributes:
        compared: pairs.
        served: elements that were served, of all pairs.
        offline: elements that should have been.
        edits: sum of the edit distances.
        most: the largest one.
    """

    compared: int = 0
    served: int = 0
    offline: int = 0
    edits: int = 0
    most: int = 0

    def add(self, served: Sequence[Any], offline: Sequence[Any], *, equal: bool = False) -> None:
        """One more pair; `equal` saves the work where that is known."""
        edits = 0 if equal else edit_distance(served, offline)
        self.compared += 1
        self.served += len(served)
        self.offline += len(offline)
        self.edits += edits
        self.most = max(self.most, edits)

    def as_json(self) -> dict[str, Any]:
        """Means over the pairs, and the largest edit distance."""
        count = max(self.compared, 1)
        return {
            "length": {"served": self.served / count, "offline": self.offline / count},
            "edit_distance": {"mean": self.edits / count, "max": self.most},
        }


@dataclass
class FieldSkew:
    """Rows of one field, or of one kind of past.

    `missing` has no value where offline has one, `extra` has one where offline has none; two nulls are equal.
    """

    compared: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    lists: ListSkew | None = None

    @property
    def mismatches(self) -> int:
        """Rows that are not equal."""
        return self.different + self.missing + self.extra

    def add(
        self,
        served: pa.ChunkedArray | pa.Array,
        offline: pa.ChunkedArray | pa.Array,
        keys: Sequence[str],
        *,
        tolerance: float = 0.0,
    ) -> NDArray[np.int64]:
        """Takes in N values.

        Args:
            served: (N,) as logged.
            offline: (N,) as they should have been.
            keys: (N,) whose they are, for the examples.
            tolerance: numbers that are this near, as a share of the larger one or of 1, are equal.

        Returns:
            the rows that are not equal.
        """
        served = served.cast(offline.type)
        none, nothing = _nulls(served), _nulls(offline)
        same = _numpy(pc.fill_null(pc.equal(served, offline), False))
        if tolerance:
            one, other = (values.to_numpy(zero_copy_only=False).astype(float) for values in (served, offline))
            with np.errstate(invalid="ignore"):
                same |= np.abs(one - other) <= tolerance * np.maximum(1.0, np.maximum(np.abs(one), np.abs(other)))
        return self.count(none, nothing, same, lambda row: (served[row].as_py(), offline[row].as_py()), keys)

    def count(
        self,
        none: NDArray[np.bool_],
        nothing: NDArray[np.bool_],
        same: NDArray[np.bool_],
        shown: Any,
        keys: Sequence[str],
    ) -> NDArray[np.int64]:
        """Takes in N pairs; returns the rows that are not equal.

        Args:
            none: (N,) nothing was served.
            nothing: (N,) nothing is there offline.
            same: (N,) both are there and equal.
            shown: row -> what was served, and what should have been.
            keys: (N,) whose they are.
        """
        self.compared += len(none)
        self.missing += int((none & ~nothing).sum())
        self.extra += int((nothing & ~none).sum())
        other = np.flatnonzero(np.where(none | nothing, none != nothing, ~same))
        self.different += int((~none & ~nothing & ~same).sum())
        for row in other[: _EXAMPLES - len(self.examples)].tolist():
            one, two = shown(row)
            self.examples.append({"key": keys[row], "served": one, "offline": two})
        return other

    def as_json(self) -> dict[str, Any]:
        """Counts, the share of mismatches, examples; of lists also length and edit distance."""
        return {
            "compared": self.compared,
            "equal": self.compared - self.mismatches,
            "different": self.different,
            "missing": self.missing,
            "extra": self.extra,
            "mismatches": self.mismatches,
            "rate": self.mismatches / max(self.compared, 1),
            **(self.lists.as_json() if self.lists is not None else {}),
            "examples": self.examples,
        }


def _nulls(values: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    return _numpy(values.is_null(nan_is_null=True) if pa.types.is_floating(values.type) else values.is_null())


def _numpy(values: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.array(values.to_numpy(zero_copy_only=False), bool)
    return found
