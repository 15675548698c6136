"""Values from either store in the one raw type that the transform reads."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from llactr.spec import Field
from llactr.transforms import normalize, raw_type

__all__ = ["raw_values"]


def raw_values(column: pa.ChunkedArray | pa.Array, field: Field) -> pa.ChunkedArray:
    """A column in its field's raw type; timestamps that come from the store are floored to whole seconds.

    Feast's timestamps are whole seconds online and microseconds offline. No part of a timestamp that a field can hold
    is finer than an hour, so both paths keep the seconds.

    Raises:
        DataError: the field cannot be read from the column's type.
    """
    if column.type != raw_type(field) or pa.types.is_floating(column.type):
        column = normalize(column, field)
    if pa.types.is_timestamp(column.type) and (field.owner != "context" or field.feature is not None):
        column = pc.floor_temporal(column, unit="second")
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
