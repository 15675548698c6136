"""Rows per CPU-second of batch scoring once features are joined: DeepFM with 10 fields, one thread.

    python -m benchmarks.scoring                       # 2,000,000 rows, in batches of 100,000
    python -m benchmarks.scoring --rows 300000 --repeats 3 --json out.json

The rows are made up: a user among 100,000, an item among 20,000, five categories, two numbers and the hour. They lie in
a Parquet file, as text and numbers, with all features: no store is asked, so that what is measured is what scoring
itself costs. `model` is the way from joined features to scores (values to ids, ids through the network), `all` adds
reading the file, checking the rows and writing the scores. Peak memory is the process's. The aim is 200,000 rows per
CPU-second and core for `model`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from llactr.ctr import Bundle, CTRModel, ModelConfig
from llactr.ctr.batch_scoring import RequestTimes, score_file
from llactr.ctr.scoring import RowScorer
from llactr.datasets.row_batches import RowSource
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.transforms import Transform

__all__ = ["main"]

AIM = 200_000
CATEGORIES = {"device": 8, "country": 60, "page": 400, "campaign": 2_000, "slot": 12}


class Joined:
    """A source whose requests hold all features already."""

    def features(self, requests: pa.Table) -> pa.Table:
        return requests

    def value_vectors(
        self, version: str, values: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, NDArray[np.float32]]]:
        return {}


def spec() -> DatasetSpec:
    """Ten fields: two keys, five categories, two numbers, the hour."""
    fields: list[dict[str, Any]] = [
        {"name": "user", "description": "the user", "owner": "user", "kind": "categorical"},
        {"name": "item", "description": "the item", "owner": "item", "kind": "categorical"},
        *({"name": n, "description": f"the {n}", "owner": "context", "kind": "categorical"} for n in CATEGORIES),
        *({"name": n, "description": f"the {n}", "owner": "context", "kind": "numeric"} for n in ("price", "age")),
        {"name": "hour", "description": "the hour", "owner": "context", "kind": "timestamp_part", "part": "hour"},
    ]
    content = {
        "name": "made-up",
        "sources": {"events": {"path": "events.parquet", "format": "parquet"}},
        "events": "events",
        "timestamp": {"column": "at"},
        "label": {"column": "clicked", "equals": 1},
        "entities": {"user": {"join_key": "user"}, "item": {"join_key": "item"}},
        "fields": fields,
    }
    return DatasetSpec.model_validate(content)


def made_up(rows: int, *, seed: int) -> pa.Table:
    """Rows with all features; a few values that training did not see."""
    draw = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "user": pa.array(draw.integers(0, 101_000, rows)).cast(pa.string()),
        "item": pa.array(draw.zipf(1.3, rows) % 20_000).cast(pa.string()),
    }
    columns |= {name: pa.array(draw.integers(0, size, rows)).cast(pa.string()) for name, size in CATEGORIES.items()}
    columns |= {name: draw.gamma(2, 20, rows) for name in ("price", "age")}
    at = 1_700_000_000_000_000 + np.sort(draw.integers(0, 30 * 86_400, rows)) * 1_000_000
    return pa.table(columns | {"event_timestamp": pa.array(at, pa.timestamp("us", "UTC"))})


def scorer(of: DatasetSpec) -> RowScorer:
    """A DeepFM of 32 dimensions with the default perceptron; weights at random, which does not matter to its cost."""
    transform = Transform.fit(of, made_up(400_000, seed=0))
    model = CTRModel(ModelConfig.model_validate({"backbone": "deepfm"}), transform.layout)
    unit = np.eye(len(of.fields), 384, dtype=np.float32)
    names = of.field_names
    vectors = FieldVectors(of.name, "none", "made up", names, tuple(f.description for f in of.fields), unit)
    bundle = Bundle.of(model, spec=of, transform=transform, vectors=vectors, metrics={})
    return RowScorer("made-up", bundle, of, Joined())


def main(arguments: list[str] | None = None) -> int:
    """Prints a table; the exit code is 0 whatever the figures are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-rows", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    of = spec()
    scoring = scorer(of)
    model, everything = [], []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.parquet"
        with pq.ParquetWriter(rows, made_up(1, seed=1).schema) as writer:
            for number, start in enumerate(range(0, asked.rows, 250_000)):
                writer.write_table(made_up(min(250_000, asked.rows - start), seed=number + 1))
        for _ in range(asked.repeats):
            made = score_file(
                scoring,
                RowSource(of, rows),
                Path(folder) / "out.parquet",
                times=RequestTimes(),
                batch_rows=asked.batch_rows,
            )
            model.append(made.rows / made.model_cpu_seconds)
            everything.append(made.rows / made.cpu_seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{asked.rows:,} rows, batches of {asked.batch_rows:,}, {asked.repeats} runs, one thread\n")
    print("| part | rows per CPU-second, median | range | aim |\n|---|---|---|---|")
    for name, rates, aim in (("model", model, f"{AIM:,}"), ("all", everything, "")):
        print(f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {aim} |")
    print(f"\npeak memory {peak:,.0f} MB")
    if asked.json:
        content = {"rows": asked.rows, "model": model, "all": everything, "aim": AIM, "peak_mb": round(peak)}
        asked.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
