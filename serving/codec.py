"""Stored and requested values -> local ids, by the one transform, which sees each distinct value once.

`Transform` works on whole columns. A request repeats few distinct values (and its two hundred films came along a second
ago), so each field keeps what the transform made of a value: serialized value -> row of ids. What is not known yet goes
through the field's own vocabulary, in the raw type that training saw.

Letters: N rows, S slots of a field, C' slots of an owner.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.serving.views import Row, ViewRead
from llactr.spec import DatasetSpec, MultiValuedField, Owner, TimestampPartField
from llactr.spec import Field as SpecField
from llactr.store.feast.messages import Value, decoder
from llactr.store.raw import raw_values
from llactr.transforms import OOV, PAD, Transform, raw_type, split_values

__all__ = ["FieldCodec", "OwnerCodec", "floor_hour"]

_MEMO_LIMIT = 100_000
_MEMO_BYTES = 16_000_000
"""Of one field's values, as text; a memo that is full starts anew."""
_HOUR_US = 3_600_000_000


class FieldCodec:
    """One field's values -> ids.

    Args:
        field: the spec's field.
        encode: the vocabulary's `ids`: a raw column to (N, S) local ids.
        slots: S.
        decode: makes the raw value (text, number, microseconds or None) of what is looked up.
    """

    def __init__(
        self,
        field: SpecField,
        encode: Callable[[pa.ChunkedArray], NDArray[np.int32]],
        *,
        slots: int,
        decode: Callable[[Any], Any],
    ) -> None:
        self.field = field
        self._encode = encode
        self._slots = slots
        self._decode = decode
        self._table: NDArray[np.int32]
        self._forget()

    def ids(self, values: Sequence[Hashable]) -> NDArray[np.int32]:
        """(N, S) local ids."""
        memo = self._memo
        try:
            codes = [memo[value] for value in values]
        except KeyError:
            self._learn(values)
            memo = self._memo
            codes = [memo[value] for value in values]
        return self._table[codes]

    def raw(self, values: Sequence[Hashable]) -> list[Any]:
        """The raw values: text, number, datetime (whole seconds or hours) or None."""
        try:
            memo, raws = self._memo, self._raws
            return [raws[memo[value]] for value in values]
        except KeyError:
            self._learn(values)
        return [self._raws[self._memo[value]] for value in values]

    def _learn(self, values: Sequence[Hashable]) -> None:
        new = [value for value in dict.fromkeys(values) if value not in self._memo]
        size = sum(map(_size, new))
        if len(self._memo) + len(new) > _MEMO_LIMIT or self._bytes + size > _MEMO_BYTES:
            self._forget()
            new = list(dict.fromkeys(values))
            size = sum(map(_size, new))
        self._bytes += size
        decoded = [self._decode(value) for value in new]
        rows = np.full((len(new), self._slots), PAD, np.int32)
        if self.field.nulls == "refuse":
            # Stored rows hold no nulls then, so a null is an entity that the store does not know: out of vocabulary.
            rows[:, 0] = OOV
            known = [i for i, value in enumerate(decoded) if not self._is_null(value)]
        else:
            known = list(range(len(new)))
        if known:
            column = pa.array([decoded[i] for i in known], raw_type(self.field))
            rows[known] = self._encode(raw_values(column, self.field))
        start = len(self._memo)
        while start + len(new) > len(self._table):
            self._table = np.concatenate([self._table, np.empty_like(self._table)])
        self._table[start : start + len(new)] = rows
        self._memo.update(zip(new, range(start, start + len(new)), strict=True))
        if isinstance(self.field, TimestampPartField):
            decoded = [None if v is None else datetime.fromtimestamp(v / 1e6, UTC) for v in decoded]
        self._raws += decoded

    def _is_null(self, value: Any) -> bool:
        if isinstance(self.field, MultiValuedField):
            return value is None or not split_values(value, self.field.separator)
        return value is None or value != value

    def _forget(self) -> None:
        self._bytes = 0
        self._memo: dict[Hashable, int] = {}
        self._table = np.empty((64, self._slots), np.int32)
        self._raws: list[Any] = []


class OwnerCodec:
    """All fields of a user, of an item, or of the context -> the owner's part of a row of ids.

    Args:
        spec: the bundle's spec.
        transform: the bundle's transform.
        owner: whose fields.
        view: where stored fields come from; None for an owner without any.

    Attributes:
        columns: (C',) places of the owner's slots in a row of ids.
        fields: the owner's fields, in the order of the spec.
    """

    def __init__(self, spec: DatasetSpec, transform: Transform, owner: Owner, *, view: ViewRead | None = None) -> None:
        layout = transform.layout
        self.fields = spec.owned_by(owner)
        positions = [layout.names.index(field.name) for field in self.fields]
        pieces = [np.arange(layout.slot_starts[p], layout.slot_starts[p] + layout.slots[p]) for p in positions]
        self.columns: NDArray[np.int64] = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
        self._places = [view.fields.index(f.name) if view and f.name in view.fields else None for f in self.fields]
        self._codecs = [
            FieldCodec(
                field,
                transform.vocabularies[position].ids,
                slots=layout.slots[position],
                decode=_given if place is None else _stored(field),
            )
            for field, position, place in zip(self.fields, positions, self._places, strict=True)
        ]
        key_column = spec.entities[owner].join_key if owner in spec.entities else None
        starts = np.cumsum([0, *(len(piece) for piece in pieces)])
        # Slot of the field that is the join key itself, to tell keys that training did not see.
        self.key_slot = next(
            (int(starts[i]) for i, f in enumerate(self.fields) if f.column == key_column and self._places[i] is None),
            None,
        )

    @property
    def width(self) -> int:
        """C', the slots of this owner."""
        return len(self.columns)

    def entity_ids(self, keys: Sequence[str], rows: Sequence[Row]) -> NDArray[np.int32]:
        """(N, C') local ids of entities; a row that is None has no stored values."""
        return self._joined(len(keys), [codec.ids(self._column(i, keys, rows)) for i, codec in enumerate(self._codecs)])

    def entity_raw(self, keys: Sequence[str], rows: Sequence[Row]) -> dict[str, list[Any]]:
        """Field name -> raw values of entities."""
        return {codec.field.name: codec.raw(self._column(i, keys, rows)) for i, codec in enumerate(self._codecs)}

    def field_raw(self, name: str, keys: Sequence[str], rows: Sequence[Row]) -> list[Any]:
        """Raw values of one field of entities."""
        position = next(i for i, field in enumerate(self.fields) if field.name == name)
        return self._codecs[position].raw(self._column(position, keys, rows))

    def value_ids(self, columns: Sequence[Sequence[Hashable]]) -> NDArray[np.int32]:
        """(N, C') local ids of given values, one column per field."""
        return self._joined(
            len(columns[0]) if columns else 0, [c.ids(v) for c, v in zip(self._codecs, columns, strict=True)]
        )

    def _joined(self, count: int, parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
        return np.concatenate(parts, axis=1) if parts else np.empty((count, 0), np.int32)

    def _column(self, position: int, keys: Sequence[str], rows: Sequence[Row]) -> Sequence[Hashable]:
        place = self._places[position]
        return keys if place is None else [None if row is None else row[place] for row in rows]


def _size(value: Hashable) -> int:
    """Bytes that a value takes, about, with what the memo makes of it: the text twice, and an entry."""
    return 2 * sys.getsizeof(value) + 100


def _given(value: Any) -> Any:
    return value


def _stored(field: SpecField) -> Callable[[bytes | None], Any]:
    """Decodes a serialized Feast value into the field's raw value; timestamps into microseconds."""
    decode = decoder(raw_type(field))
    return lambda stored: decode(Value.FromString(stored) if stored else None)


def floor_hour(moment: datetime) -> int:
    """Microseconds since 1970 of the full hour before a moment: all that a part of a timestamp can tell apart."""
    micros = int(moment.timestamp() * 1_000_000)
    return micros // _HOUR_US * _HOUR_US
