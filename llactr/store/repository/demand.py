"""On-demand features: Feast's own view computes them, from the same inputs and by the same call on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from llactr.errors import StoreError
from llactr.store.repository.keys import typed_key
from llactr.store.repository.plan import Demand

__all__ = ["computed"]


def computed(
    demand: Demand, rows: pa.Table, inputs: Mapping[str, Mapping[str, pa.ChunkedArray]]
) -> dict[str, pa.ChunkedArray]:
    """The features of an on-demand view for N rows.

    Args:
        demand: the view.
        rows: join keys as text, and what the view takes of the request.
        inputs: the name of each view that it is computed from -> feature -> (N,) values.

    Raises:
        StoreError: the view's function failed, or gave other rows or features than it says.
    """
    view = demand.view
    columns: dict[str, Any] = {
        key.name: typed_key(rows[key.column], key) for read in demand.reads.values() for key in read.keys
    }
    for called, projection in view.source_feature_view_projections.items():
        for feature in projection.features:
            # A view brings all its features, those too whose type cannot be read: the function finds them missing.
            given = inputs[called].get(feature.name)
            columns[f"{projection.name}__{feature.name}"] = pa.nulls(rows.num_rows) if given is None else given
    for name, (column, kind) in demand.request.items():
        columns[name] = _as_requested(rows[column], kind)
    try:
        table = _transformed(view, pa.table(columns))
        made = {feature.name: table[feature.name] for feature in view.features}
    except Exception as error:  # the user's own function may throw anything
        raise StoreError(
            f"the on-demand view {view.name!r} failed ({type(error).__name__}: {' '.join(str(error).split())[:200]}): "
            "its function must take rows in which inputs are missing, as those of an unknown key are, and give all "
            "features of its schema"
        ) from error
    for name, values in made.items():
        if len(values) != rows.num_rows:
            raise StoreError(
                f"the on-demand view {view.name!r} gave {len(values)} values of {name!r} for {rows.num_rows} rows: its "
                "function must give one for each"
            )
    return made


def _transformed(view: Any, table: pa.Table) -> pa.Table:
    if not view.singleton:
        return view.transform_arrow(table)
    rows = [view.transform_dict({name: [value] for name, value in row.items()}) for row in table.to_pylist()]
    names = [feature.name for feature in view.features]
    return pa.table({name: pa.array([row[name] for row in rows]) for name in names})


def _as_requested(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A context field in the type that the view's request source declares; null where it holds none of that type."""
    if column.type == kind:
        return column
    if pa.types.is_floating(column.type) and pa.types.is_integer(kind):
        whole = pc.equal(pc.floor(column), column)
        column = pc.if_else(whole, column, pa.scalar(None, column.type))
    return column.cast(kind, safe=False)
