"""What a field learns from training rows, one class per kind: values in text, numbers in buckets, parts of a timestamp.

Each class maps a raw column of N rows to ids of shape (N, S), S the field's slots. Text is dictionary-encoded first:
Python looks at each distinct value once, never at a row.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.errors import BundleError, DataError
from llactr.spec import CategoricalField, Field, MultiValuedField, NumericField, TimestampPartField
from llactr.transforms.layout import FIRST, NULL, OOV, PAD
from llactr.transforms.raw import chunked, normalize

__all__ = ["FORGOTTEN", "FieldVocabulary", "fit_vocabulary", "load_vocabulary", "split_values"]

Ids = NDArray[np.int32]
_MICROS_PER_HOUR = 3_600_000_000
FORGOTTEN = "\ufdd0forgotten "
"""How the text begins that takes the place of a forgotten value; its first character is in no text."""
# Not calendar's, whose names follow the process's locale: a vocabulary would be another one on another machine.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True)
class FieldVocabulary(ABC):
    """Raw values of one field -> local ids."""

    field: Any
    slots: ClassVar[int] = 1

    @property
    @abstractmethod
    def values(self) -> list[str]:
        """The values that have ids FIRST, FIRST + 1, ... as text."""

    @abstractmethod
    def ids(self, column: pa.ChunkedArray) -> Ids:
        """(N, S) local ids of a raw column."""

    @property
    def size(self) -> int:
        """Rows of the field's table, the reserved ids included."""
        return FIRST + len(self.values)

    @property
    def null_id(self) -> int:
        """The id of a row without value."""
        return OOV if self.field.nulls == "oov" else NULL

    def grown(self, column: pa.ChunkedArray) -> FieldVocabulary:
        """The vocabulary with the texts that later rows bring behind those that it has: all ids stay."""
        return self

    def numbers_in(self, other: FieldVocabulary) -> NDArray[np.int64]:
        """(size,) the id in another vocabulary of the same field of the value that each id stands for; -1 for none."""
        place = {value: FIRST + number for number, value in enumerate(other.values)}
        return np.array([PAD, OOV, NULL, *(place.get(value, -1) for value in self.values)], np.int64)

    def extra_columns(self) -> dict[str, pa.Array]:
        """What the vocabulary file holds beside id, value and count; one entry per id."""
        return {}

    def refuse_nulls(self, null_count: int) -> None:
        """Raises DataError when there are nulls and the spec refuses them."""
        if null_count and self.field.nulls == "refuse":
            raise DataError(
                f"field {self.field.name!r} has no value in {null_count} row{'s' if null_count > 1 else ''}, "
                "and its spec says 'nulls: refuse': fill them in, or say 'own_id' or 'oov'"
            )


@dataclass(frozen=True)
class _Words(FieldVocabulary):
    """Shared by both kinds of text: the dict from value to id."""

    words: tuple[str, ...]
    id_of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id_of", {word: FIRST + i for i, word in enumerate(self.words)})
        if len(self.id_of) < len(self.words):
            raise BundleError(f"the vocabulary of field {self.field.name!r} lists a value twice")

    @property
    def values(self) -> list[str]:
        return list(self.words)

    def grown(self, column: pa.ChunkedArray) -> FieldVocabulary:
        """New values come in the order that they would have in a vocabulary of their own."""
        known, kind = self.id_of, type(self)
        found = fit_vocabulary(self.field, column).values
        return kind(self.field, (*self.words, *(word for word in found if word not in known)))


class CategoricalVocabulary(_Words):
    """One id per value that training rows hold at least `min_count` times; the most frequent first."""

    @classmethod
    def fit(cls, field: CategoricalField, column: pa.ChunkedArray) -> CategoricalVocabulary:
        codes, distinct = encode_text(column, field)
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
        return cls(field, _frequent(distinct, counts, field.min_count))

    def ids(self, column: pa.ChunkedArray) -> Ids:
        codes, distinct = encode_text(column, self.field)
        self.refuse_nulls(int(np.count_nonzero(codes < 0)))
        get = self.id_of.get
        # The last entry is the one that code -1, a null, picks.
        id_of_code = np.array([*(get(value, OOV) for value in distinct), self.null_id], np.int32)
        return id_of_code[codes][:, None]  # N x 1


class MultiValuedVocabulary(_Words):
    """The distinct ids of a row's values in the order of the text; the first `max_values` are kept, then PAD.

    Values are trimmed, empty ones are left out, and a row without any counts as null. However many of a row's values
    are not in the vocabulary, they take one OOV slot.
    """

    @property
    def slots(self) -> int:  # type: ignore[override]
        return int(self.field.max_values)

    @classmethod
    def fit(cls, field: MultiValuedField, column: pa.ChunkedArray) -> MultiValuedVocabulary:
        codes, distinct = encode_text(column, field)
        rows_with = np.bincount(codes[codes >= 0], minlength=len(distinct))
        count_of: dict[str, int] = {}
        for text, rows in zip(distinct, rows_with.tolist(), strict=True):
            for word in split_values(text, field.separator):
                count_of[word] = count_of.get(word, 0) + rows
        counts = np.fromiter(count_of.values(), np.int64, len(count_of))
        return cls(field, _frequent(list(count_of), counts, field.min_count))

    def ids(self, column: pa.ChunkedArray) -> Ids:
        codes, distinct = encode_text(column, self.field)
        id_of_code = np.full((len(distinct) + 1, self.slots), PAD, np.int32)  # U+1 x S
        id_of_code[-1, 0] = self.null_id
        separator, get = self.field.separator, self.id_of.get
        empty = []
        for code, text in enumerate(distinct):
            kept = list(dict.fromkeys([get(word, OOV) for word in split_values(text, separator)]))[: self.slots]
            if kept:
                id_of_code[code, : len(kept)] = kept
            else:
                id_of_code[code, 0] = self.null_id
                empty.append(code)
        if self.field.nulls == "refuse":
            self.refuse_nulls(int(np.count_nonzero((codes < 0) | np.isin(codes, empty))))
        return id_of_code[codes]  # N x S


@dataclass(frozen=True)
class NumericBuckets(FieldVocabulary):
    """Half-open buckets [lower, upper) between ascending edges; the first and the last reach to infinity.

    `quantile` edges are values of training rows, each once, so that heavily repeated values give fewer buckets. `log`
    buckets are floor(log(1 + x)^2) of x >= 0 as far as training rows fill them, and one for x < 0; a number in a bucket
    that training left empty falls into the next lower one.
    """

    edges: NDArray[np.float64] = field(compare=False)

    @classmethod
    def fit(cls, field: NumericField, column: pa.ChunkedArray) -> NumericBuckets:
        numbers = normalize(column, field).drop_null().to_numpy()
        if not len(numbers):
            edges = np.empty(0)
        elif field.buckets == "quantile":
            shares = np.arange(1, field.bucket_count) / field.bucket_count
            edges = np.unique(np.quantile(numbers, shares, method="inverted_cdf"))
        else:
            # 1420 is past the bucket of 1e16; up there a double's neighbours lie further apart than the buckets.
            filled = np.unique(np.floor(np.log1p(np.minimum(numbers[numbers >= 0], 1e16)) ** 2))
            edges = np.expm1(np.sqrt(filled))
        return cls(field, edges[edges > numbers.min()] if len(numbers) else edges)

    @property
    def values(self) -> list[str]:
        marks = [f"{edge:.6g}" for edge in self.edges]
        if not marks:
            return ["any number"]
        between = [f"from {low} to below {high}" for low, high in itertools.pairwise(marks)]
        return [f"below {marks[0]}", *between, f"{marks[-1]} or more"]

    def numbers_in(self, other: FieldVocabulary) -> NDArray[np.int64]:
        """A bucket is the other's bucket of its lower edge; the lowest one that of what lies just below its edge."""
        assert isinstance(other, NumericBuckets)
        below = np.nextafter(self.edges[:1], -np.inf)
        lowest = below if len(self.edges) else np.array([-np.inf])
        found = np.searchsorted(other.edges, np.concatenate([lowest, self.edges]), side="right") + FIRST
        return np.concatenate([[PAD, OOV, NULL], found]).astype(np.int64)

    def ids(self, column: pa.ChunkedArray) -> Ids:
        numbers, valid = _with_mask(normalize(column, self.field))
        self.refuse_nulls(len(valid) - int(np.count_nonzero(valid)))
        buckets = np.searchsorted(self.edges, numbers, side="right") + FIRST
        return np.where(valid, buckets, self.null_id).astype(np.int32)[:, None]  # N x 1

    def extra_columns(self) -> dict[str, pa.Array]:
        lower = [None] * (FIRST + 1) + self.edges.tolist()
        return {"lower": pa.array(lower, pa.float64())}


class TimestampPart(FieldVocabulary):
    """Hour, weekday, month or day in UTC; every value has its id whether or not training rows hold it."""

    @property
    def values(self) -> list[str]:
        part = self.field.part
        if part == "weekday":
            return list(_WEEKDAYS)
        if part == "month":
            return list(_MONTHS)
        return [str(number) for number in (range(24) if part == "hour" else range(1, 32))]

    def ids(self, column: pa.ChunkedArray) -> Ids:
        micros, valid = _with_mask(normalize(column, self.field).cast(pa.int64()))
        self.refuse_nulls(len(valid) - int(np.count_nonzero(valid)))
        return np.where(valid, FIRST + self._index(micros), self.null_id).astype(np.int32)[:, None]  # N x 1

    def _index(self, micros: NDArray[np.int64]) -> NDArray[np.int64]:
        hours = micros // _MICROS_PER_HOUR
        if self.field.part == "hour":
            return hours % 24
        days = hours // 24
        if self.field.part == "weekday":
            return (days + 3) % 7  # 1970-01-01 was a Thursday
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        if self.field.part == "month":
            return months.astype(np.int64) % 12
        return (dates - months.astype("datetime64[D]")).astype(np.int64)


def fit_vocabulary(field: Field, column: pa.ChunkedArray) -> FieldVocabulary:
    """What a field learns from its raw column in the training rows."""
    if isinstance(field, CategoricalField):
        return CategoricalVocabulary.fit(field, column)
    if isinstance(field, MultiValuedField):
        return MultiValuedVocabulary.fit(field, column)
    if isinstance(field, NumericField):
        return NumericBuckets.fit(field, column)
    return TimestampPart(field)


def load_vocabulary(field: Field, table: pa.Table) -> FieldVocabulary:
    """The vocabulary that a saved table (id, value, count, and `lower` for numbers) describes.

    Raises:
        BundleError: the table contradicts itself or the field.
    """
    if isinstance(field, TimestampPartField):
        loaded: FieldVocabulary = TimestampPart(field)
    elif isinstance(field, NumericField):
        edges = table.column("lower").to_numpy()[FIRST + 1 :].astype(np.float64)
        if np.isnan(edges).any() or (np.diff(edges) <= 0).any():
            raise BundleError(f"the bucket edges of field {field.name!r} do not ascend")
        loaded = NumericBuckets(field, edges)
    else:
        kind = MultiValuedVocabulary if isinstance(field, MultiValuedField) else CategoricalVocabulary
        loaded = kind(field, tuple(table.column("value").to_pylist()[FIRST:]))
    if table.column("value").to_pylist()[FIRST:] != loaded.values:
        raise BundleError(f"the vocabulary of field {field.name!r} does not hold the values of its kind")
    return loaded


def split_values(text: str, separator: str) -> list[str]:
    """The distinct values in a multi-valued text, trimmed, without empty ones, in the order of the text."""
    return list(dict.fromkeys(value for part in text.split(separator) if (value := part.strip())))


def encode_text(column: pa.ChunkedArray | pa.Array, field: Field) -> tuple[NDArray[np.int64], list[str]]:
    """Codes (N,) of a column, -1 for null, and the text of each code; a dictionary-encoded column stays so."""
    column = chunked(column)
    if pa.types.is_dictionary(column.type):
        encoded = column.unify_dictionaries()
    else:
        encoded = normalize(column, field).dictionary_encode()
    if not encoded.num_chunks:
        return np.empty(0, np.int64), []
    # All chunks share one dictionary by now. Its entries may be null or, once they are text, equal.
    words = normalize(encoded.chunk(0).dictionary, field).to_pylist()
    code_of: dict[str, int] = {}
    recode = np.array([-1 if w is None else code_of.setdefault(w, len(code_of)) for w in words] + [-1], np.int64)
    parts = [chunk.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    codes = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return recode[codes], list(code_of)


def _frequent(values: list[str], counts: NDArray[np.int64], min_count: int) -> tuple[str, ...]:
    kept = [(-count, value) for value, count in zip(values, counts.tolist(), strict=True) if count >= min_count]
    return tuple(value for _, value in sorted(kept))


def _with_mask(column: pa.ChunkedArray) -> tuple[Any, NDArray[np.bool_]]:
    """Values with nulls as 0, and where they are valid."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False), np.ones(len(array), np.bool_)
    return array.fill_null(0).to_numpy(zero_copy_only=False), array.is_valid().to_numpy(zero_copy_only=False)
