"""`training_set`: the rows that a model is trained, validated and tested on, with the versions that they go with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.columns import SEMANTICS_VERSION
from llactr.ctr.exports import EXPORTS, ExportSource
from llactr.ctr.exports.parquet import field_vectors_table
from llactr.manifest import content_hash, read_manifest
from llactr.steps import Step
from llactr.store import read_field_vectors, training_rows
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash
from llactr.transforms import chronological_split

__all__ = ["to_training_set"]


@EXPORTS.register("training_set")
def to_training_set(source: ExportSource, folder: Path) -> dict[str, Any]:
    """`train.parquet`, `validation.parquet` and `test.parquet`: raw values as known at each row's time, keys, label.

    Each row names its `semantics_version`; `field_vectors.parquet` has the vectors of all that occur. The point-in-time
    join is done anew. The ids that the bundle gives to values are in the format `parquet`.

    Raises:
        NotReadyError: the dataset has no release of field vectors, or nothing is applied.
    """
    workspace, name = source.workspace, source.bundle.spec.name
    spec = dataset_spec(workspace, name)
    rows = training_rows(workspace, spec)
    split = chronological_split(rows.num_rows, spec.split)
    counts = {}
    for part in ("train", "validation", "test"):
        places = getattr(split, part)
        pq.write_table(rows.take(pa.array(places)), folder / f"{part}.parquet")
        counts[part] = len(places)
    versions = pc.unique(rows[SEMANTICS_VERSION].drop_null()).to_pylist()
    tables = [
        field_vectors_table(read_field_vectors(workspace, name, version, spec.field_names)) for version in versions
    ]
    pq.write_table(pa.concat_tables(tables), folder / "field_vectors.parquet")
    of_dataset = {"dataset": dataset_hash(workspace, name), "releases": release_hash(workspace, name)}
    key = content_hash({"step": Step.JOIN, "config": {}, "inputs": of_dataset})
    of_bundle = (read_manifest(source.folder) or {}).get("inputs", {}).get("training_set")
    changed = "the dataset has changed since the bundle was trained: these are the rows of now"
    return {
        "rows": counts,
        "versions": versions,
        "training_set": key,
        "training_set_of_bundle": of_bundle,
        "note": changed if of_bundle and of_bundle != key else "",
    }
