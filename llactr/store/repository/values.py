"""Values of the user's own features: from either store in the view's type, then in the field's raw type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import Field as Feature
from feast import ValueType
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_pa

from llactr.columns import TIMESTAMP
from llactr.errors import SpecError, StoreError
from llactr.spec import CategoricalField, Field, MultiValuedField, NumericField
from llactr.store.feast.messages import Value
from llactr.transforms import admit

__all__ = ["arrow_type", "check_type", "declared", "of_store", "raw_feature", "readable"]

_NUMBERS = ("INT32", "INT64", "FLOAT", "DOUBLE")
_OF_KIND = {
    "numeric": (*_NUMBERS, "BOOL"),
    "categorical": ("STRING", "BOOL", *_NUMBERS),
    "timestamp_part": ("UNIX_TIMESTAMP",),
    "multi_valued": ("STRING", "STRING_LIST", "INT32_LIST", "INT64_LIST"),
}


def readable(feature: Feature) -> bool:
    """Whether values of the feature's type can be read, if only to compute from: maps, records and JSON cannot."""
    return not feature.dtype.to_value_type().name.startswith(("MAP", "JSON", "STRUCT"))


def check_type(field: Field, feature: Feature) -> None:
    """Raises SpecError where the kind of a field cannot be read from the type of a feature."""
    kind = feature.dtype.to_value_type().name
    if kind not in _OF_KIND[field.kind]:
        raise SpecError(
            f"field {field.name!r} is {field.kind} and its feature {field.feature!r} has type {kind}: expected "
            f"{', '.join(_OF_KIND[field.kind])}; choose another kind or feature"
        )


def arrow_type(feature: Feature) -> pa.DataType:
    """The Arrow type of a feature's values; timestamps in microseconds and UTC."""
    kind = feature.dtype.to_value_type()
    return TIMESTAMP if kind == ValueType.UNIX_TIMESTAMP else feast_value_type_to_pa(kind)


def declared(column: pa.ChunkedArray, feature: Feature, view: str) -> pa.ChunkedArray:
    """What an offline store gave for a feature, in the type that its view declares.

    Raises:
        StoreError: it holds other values.
    """
    kind = arrow_type(feature)
    if column.type == kind:
        return column
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_floating(column.type) and not pa.types.is_floating(kind):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)  # pandas has no other null
        lossy = pa.types.is_timestamp(kind) or pa.types.is_floating(kind)
        return column.cast(kind, safe=not lossy)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(
            f"feature {view}:{feature.name} is declared as {kind} and the offline store gives {column.type} "
            f"({str(error).splitlines()[0]}): mend the view's schema or its source"
        ) from None


def of_store(values: Sequence[Value | None], feature: Feature, view: str) -> pa.Array:
    """Stored values of a feature as an array of the type that its view declares.

    Raises:
        StoreError: one is of another type.
    """
    try:
        return pa.array([_python(value) for value in values], arrow_type(feature))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise StoreError(
            f"feature {view}:{feature.name} is declared as {arrow_type(feature)} and the online store holds another "
            f"type ({str(error).splitlines()[0]}): run 'feast materialize' for {view!r} again"
        ) from None


def _python(value: Value | None) -> Any:
    which = value.WhichOneof("val") if value is not None else None
    if value is None or which is None or which == "null_val":
        return None
    content = getattr(value, which)
    if which == "unix_timestamp_val":
        return None if content == NULL_TIMESTAMP_INT_VALUE else datetime.fromtimestamp(content, UTC)
    return list(content.val) if which.endswith("_list_val") else content


def raw_feature(column: pa.ChunkedArray | pa.Array, field: Field) -> pa.ChunkedArray:
    """A feature's values in the raw type of its field, by the same rules as a source's; timestamps in whole seconds.

    Raises:
        DataError: the field's kind cannot be read from them.
    """
    if isinstance(field, MultiValuedField) and (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        parts = [
            None if row is None else field.separator.join(str(value) for value in row if value is not None)
            for row in column.to_pylist()
        ]
        column = pa.array(parts, pa.string())
    if isinstance(field, NumericField | CategoricalField) and pa.types.is_null(column.type):
        column = pa.nulls(len(column), pa.float64() if isinstance(field, NumericField) else pa.string())
    column = admit(column, field)
    if pa.types.is_timestamp(column.type):
        column = pc.floor_temporal(column, unit="second")
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
