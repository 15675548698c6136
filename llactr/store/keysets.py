"""Which keys of a view were brought online: the keys, and 8-byte fingerprints of them that a service can hold.

Letters: N keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["KeySet", "fingerprints"]


def fingerprints(keys: Iterable[Sequence[str]]) -> NDArray[np.uint64]:
    """(N,) uint64, the first 8 bytes of BLAKE2b of each key: the values of its join keys, sorted by the keys' names.

    Two of N keys are equal with a chance of about N^2 / 2^65: one in a million for 6 million keys.
    """
    digests = [hashlib.blake2b("\x1f".join(key).encode(), digest_size=8).digest() for key in keys]
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)


@dataclass(frozen=True)
class KeySet:
    """Distinct keys of one view.

    Attributes:
        columns: N rows, one text column per join key, in the order of the join keys' names.
        prints: (N,) their fingerprints, rising; row i of `columns` is that of `prints[i]`.
    """

    columns: pa.Table
    prints: NDArray[np.uint64]

    @classmethod
    def of(cls, columns: pa.Table) -> KeySet:
        """The distinct keys of a table of join keys; a null counts as an empty text."""
        names = sorted(columns.column_names)
        texts = {name: columns[name].cast(pa.string()).fill_null("").combine_chunks() for name in names}
        if not names:
            return cls(pa.table({}), np.empty(0, np.uint64))
        prints = fingerprints(zip(*(column.to_pylist() for column in texts.values()), strict=True))
        distinct, first = np.unique(prints, return_index=True)
        return cls(pa.table(texts).take(pa.array(first)), distinct)

    def __len__(self) -> int:
        return len(self.prints)

    def union(self, other: KeySet) -> KeySet:
        """The keys of both."""
        if not len(other):
            return self
        if not len(self):
            return other
        new = other.minus(self)
        prints = np.concatenate([self.prints, new.prints])
        order = np.argsort(prints, kind="stable")
        columns = pa.concat_tables([self.columns, new.columns.select(self.columns.column_names)])
        return KeySet(columns.take(pa.array(order)), prints[order])

    def minus(self, other: KeySet) -> KeySet:
        """The keys that another set does not hold."""
        kept = ~np.isin(self.prints, other.prints, assume_unique=True)
        return KeySet(self.columns.filter(pa.array(kept)), self.prints[kept])

    def slice(self, start: int, count: int) -> KeySet:
        """Some keys, in the order of their fingerprints."""
        return KeySet(self.columns.slice(start, count), self.prints[start : start + count])

    def rows(self) -> list[tuple[str, ...]]:
        """The keys as tuples."""
        return list(zip(*(column.to_pylist() for column in self.columns.columns), strict=True))
