"""Ids of rows whose users and items may be unknown: the one rule for `llactr score`, `llactr check` and the service.

A field with `nulls: refuse` had a value in every training row, so no id stands for a null. An entity that the store
does not know has no value there: it takes the out-of-vocabulary id. A null in a context field stays refused; the caller
can give a value.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llactr.spec import DatasetSpec, MultiValuedField
from llactr.transforms import OOV, PAD, Transform, raw_column, split_values

__all__ = ["request_ids"]


def request_ids(transform: Transform, spec: DatasetSpec, table: pa.Table) -> NDArray[np.int32]:
    """Local ids (N, C) int32 of raw rows.

    Args:
        transform: of a bundle.
        spec: of the bundle.
        table: N raw rows, as `OnlineReader.features` gives them.

    Raises:
        DataError: a column is missing or has the wrong type, or a context field that refuses nulls is null.
    """
    unknown: dict[str, NDArray[np.bool_]] = {}
    for field in spec.fields:
        if field.nulls != "refuse" or field.owner == "context":
            continue
        column = table[raw_column(field)].combine_chunks()
        missing = _missing(column, field.separator if isinstance(field, MultiValuedField) else None)
        if missing.any():
            unknown[field.name] = missing
            table = table.set_column(
                table.column_names.index(raw_column(field)), raw_column(field), _filled(column, missing)
            )
    ids = transform.ids(table)
    layout = transform.layout
    for name, missing in unknown.items():
        place = layout.names.index(name)
        start = int(layout.slot_starts[place])
        ids[missing, start : start + layout.slots[place]] = PAD
        ids[missing, start] = OOV
    return ids


def _missing(column: pa.Array, separator: str | None) -> NDArray[np.bool_]:
    if separator is not None:
        return np.array([value is None or not split_values(value, separator) for value in column.to_pylist()], np.bool_)
    missing = column.is_null(nan_is_null=True) if pa.types.is_floating(column.type) else column.is_null()
    found: NDArray[np.bool_] = missing.to_numpy(zero_copy_only=False)
    return found


def _filled(column: pa.Array, missing: NDArray[np.bool_]) -> pa.Array:
    """The column with something in place of what is missing; its ids are overwritten."""
    something = pa.scalar(
        "x" if pa.types.is_string(column.type) else 0, pa.string() if pa.types.is_string(column.type) else pa.int64()
    )
    return pc.if_else(pa.array(missing), something.cast(column.type), column)
