"""`training_set`: the rows that a model is trained, validated and tested on, with the versions that they go with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.columns import SEMANTICS_VERSION
from llactr.ctr.exports import EXPORTS, ExportSource
from llactr.ctr.exports.parquet import field_vectors_table
from llactr.manifest import content_hash, read_manifest
from llactr.spec import DatasetSpec
from llactr.steps import Step
from llactr.store import read_field_vectors, training_rows
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash
from llactr.store.training_buckets import bucketed_training_rows
from llactr.transforms import chronological_split
from llactr.workspace import Workspace

__all__ = ["to_training_set"]


@EXPORTS.register("training_set")
def to_training_set(source: ExportSource, folder: Path) -> dict[str, Any]:
    """`train.parquet`, `validation.parquet` and `test.parquet`: raw values as known at each row's time, keys, label.

    Each row names its `semantics_version`; `field_vectors.parquet` has the vectors of all that occur. The point-in-time
    join is done anew; bucket by bucket where the source says so, to the same rows in the same order. The ids that the
    bundle gives to values are in the format `parquet`.

    Raises:
        NotReadyError: the dataset has no release of field vectors, or nothing is applied.
    """
    workspace, name = source.workspace, source.bundle.spec.name
    spec = dataset_spec(workspace, name)
    versions: dict[str, None] = {}
    with _rows(workspace, spec, source) as (count, tables):
        split = chronological_split(count, spec.split)
        parts = {part: getattr(split, part) for part in ("train", "validation", "test")}
        with contextlib.ExitStack() as writing:
            writers: dict[str, pq.ParquetWriter] = {}
            at = 0
            for table in tables:
                versions |= dict.fromkeys(pc.unique(table[SEMANTICS_VERSION]).to_pylist())
                for part, places in parts.items():
                    first, last = max(places.start, at), min(places.stop, at + table.num_rows)
                    if first < last:
                        if part not in writers:
                            file = pq.ParquetWriter(folder / f"{part}.parquet", table.schema)
                            writers[part] = writing.enter_context(file)
                        writers[part].write_table(table.slice(first - at, last - first))
                at += table.num_rows
    of_versions = [
        field_vectors_table(read_field_vectors(workspace, name, version, spec.field_names)) for version in versions
    ]
    pq.write_table(pa.concat_tables(of_versions), folder / "field_vectors.parquet")
    of_dataset = {"dataset": dataset_hash(workspace, name), "releases": release_hash(workspace, name)}
    key = content_hash({"step": Step.JOIN, "config": {}, "inputs": of_dataset})
    of_bundle = (read_manifest(source.folder) or {}).get("inputs", {}).get("training_set")
    changed = "the dataset has changed since the bundle was trained: these are the rows of now"
    return {
        "rows": {part: len(places) for part, places in parts.items()},
        "versions": list(versions),
        "training_set": key,
        "training_set_of_bundle": of_bundle,
        "note": changed if of_bundle and of_bundle != key else "",
    }


@contextlib.contextmanager
def _rows(workspace: Workspace, spec: DatasetSpec, source: ExportSource) -> Iterator[tuple[int, Iterable[pa.Table]]]:
    """How many rows, and the rows: one table, or tables that come from buckets on disk."""
    if source.buckets is None:
        rows = training_rows(workspace, spec)
        yield rows.num_rows, [rows]
        return
    with bucketed_training_rows(workspace, spec, buckets=source.buckets, workers=source.workers) as made:
        yield made.count, made.tables()
