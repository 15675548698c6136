"""`parquet`: what a bundle knows as tables: field vectors, vocabularies, and the embedding of every value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.columns import DATASET, DESCRIPTION, ENCODER, FIELD, SEMANTICS_VERSION, VALUE, VECTOR
from llactr.ctr.exports import EXPORTS, ExportSource
from llactr.transforms import FIRST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llactr.semantics import FieldVectors

__all__ = ["field_vectors_table", "to_parquet"]


@EXPORTS.register("parquet")
def to_parquet(source: ExportSource, folder: Path) -> dict[str, Any]:
    """`field_vectors.parquet`, a row a field; `values.parquet`, a row a value of a field, with id, count and embedding.

    Ids below 3 are padding, values never seen, and nulls; they have no value.
    """
    bundle = source.bundle
    vectors, layout = bundle.vectors, bundle.transform.layout
    pq.write_table(field_vectors_table(vectors), folder / "field_vectors.parquet")
    table = bundle.model.embedding.table().detach().numpy()
    linear = bundle.model.embedding.linear_table()
    names = np.repeat(np.array(layout.names, dtype=object), layout.vocab_sizes)
    values = [text for v in bundle.transform.vocabularies for text in ([None] * FIRST + list(v.values))]
    rows = {
        FIELD: pa.array(names, pa.string()),
        "id": pa.array(np.concatenate([np.arange(size, dtype=np.int32) for size in layout.vocab_sizes])),
        VALUE: pa.array(values, pa.string()),
        "count": pa.array(np.concatenate(bundle.transform.counts)),
        "embedding": _lists(table),
    }
    if linear is not None:
        rows["first_order"] = pa.array(linear.detach().numpy())
    pq.write_table(pa.table(rows), folder / "values.parquet")
    return {"tables": ["field_vectors.parquet", "values.parquet"], "values": len(names)}


def field_vectors_table(vectors: FieldVectors) -> pa.Table:
    """A row a field, with the version that its vector belongs to."""
    return pa.table(
        {
            DATASET: [vectors.dataset] * len(vectors.fields),
            FIELD: list(vectors.fields),
            SEMANTICS_VERSION: [vectors.version] * len(vectors.fields),
            DESCRIPTION: list(vectors.descriptions),
            ENCODER: [vectors.encoder] * len(vectors.fields),
            VECTOR: _lists(vectors.vectors),
        }
    )


def _lists(vectors: NDArray[np.float32]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).ravel()), vectors.shape[1])
