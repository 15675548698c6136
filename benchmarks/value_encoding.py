"""What value vectors cost: encoding the values' texts, scoring known values, a step of training. CPU time, one thread.

    make quickstart && python -m benchmarks.value_encoding --workspace .llactr
    python -m benchmarks.value_encoding --workspace .llactr --rows 500 --repeats 3 --json out.json

Encoding: a table of events with a text per row (a film's title, year and genres). llactr encodes each distinct text
once, in batches of similar length, and scatters the vectors back to all rows. Beside it `SentenceTransformer.encode` of
the same model, called with one text per row: it is measured on rows drawn at random, for its time goes with their
number. Then the same with each distinct text once.

Scoring: a model trained with value vectors is folded into a plain table, so known values must cost what they cost
plain. Batches in which 1 row in 20 holds an unseen value are measured too. Training: a whole step, as in
`enhancement_cost`. Vectors are drawn at random there: what the numbers are does not matter to their cost.

Sides are measured in turns; the table shows medians and ranges of CPU time, and the median of the ratios within a turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from llactr.ctr import (
    BackboneName,
    CTRModel,
    ModelConfig,
    TrainConfig,
    TrainingSet,
    UnseenValues,
    ValueProjections,
    ValuesConfig,
    ValueTables,
    predict,
)
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from llactr.ctr.values.projections import folded
from llactr.ctr.values.unseen_rows import UnseenRows
from llactr.semantics import EncoderConfig, load_encoder
from llactr.semantics.values import FieldValueVectors, ValueVectors
from llactr.workspace import Workspace

__all__ = ["main"]

DATASET, ROWS, SEMANTIC_DIM = "movielens-100k", 4096, 384
LIMITS = {"encoding rows": 3.0, "scoring known values": 1.05, "training step": 1.5}


def item_texts(workspace: Workspace, limit: int) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct texts of items that events refer to, at most so many, and the place among them of each event's text."""
    from llactr.semantics.tuning.likes import item_text_field
    from llactr.store import events_table
    from llactr.store.ingested import dataset_spec
    from llactr.store.value_texts import read_texts

    spec = dataset_spec(workspace, DATASET)
    texts = read_texts(workspace, spec)[item_text_field(spec)]
    keys = events_table(workspace, spec)[spec.entities["item"].join_key].to_pylist()
    everything = sorted({texts[key] for key in keys})
    kept = np.random.default_rng(4).permutation(len(everything))[:limit].tolist()
    distinct = [everything[number] for number in kept]
    place = {text: number for number, text in enumerate(distinct)}
    return distinct, np.array([place[texts[key]] for key in keys if texts[key] in place], np.int64)


def turns(sides: dict[str, Callable[[], Any]], repeats: int, *, calls: int = 1) -> dict[str, list[float]]:
    """CPU seconds of a call of each side, once a turn; a first turn warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(-1, repeats):
        for name, call in sides.items():
            began = time.process_time()
            for _ in range(calls):
                call()
            if repeat >= 0:
                seconds[name].append((time.process_time() - began) / calls)
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def encoding(workspace: Workspace, *, rows: int, texts: int, repeats: int) -> dict[str, Any]:
    """Texts per CPU-second, of rows and of distinct texts."""
    distinct, places = item_texts(workspace, texts)
    encoder: Any = load_encoder(EncoderConfig(model="minilm", device="cpu"))
    random = np.random.default_rng(0)
    table = [distinct[place] for place in places.tolist()]
    drawn = [table[row] for row in random.choice(len(table), rows, replace=False).tolist()]
    shuffled = [distinct[number] for number in random.permutation(len(distinct)).tolist()]
    peer = encoder.module  # a SentenceTransformer

    def plain(texts: list[str]) -> Any:
        return peer.encode(texts, show_progress_bar=False, normalize_embeddings=True)

    gap = float(np.abs(plain(drawn[:64]) - encoder.encode(drawn[:64])).max())
    seconds = turns(
        {
            "llactr, all rows": lambda: encoder.encode(table),
            "model.encode, all rows": lambda: plain(drawn),
            "model.encode, distinct texts": lambda: plain(shuffled),
        },
        repeats,
    )
    counts = {
        "llactr, all rows": len(table),
        "model.encode, all rows": len(drawn),
        "model.encode, distinct texts": len(shuffled),
    }
    rates = {name: [counts[name] / one for one in some] for name, some in seconds.items()}
    of_distinct = [len(distinct) / one for one in seconds["llactr, all rows"]]
    return {
        "rows": len(table),
        "distinct_texts": len(distinct),
        "rows_measured_with_model_encode": rows,
        "largest_difference_of_vectors": gap,
        "texts_per_cpu_second": {name: spread(some) for name, some in rates.items()}
        | {"llactr, distinct texts": spread(of_distinct)},
        "encoding rows": _ratio(rates["llactr, all rows"], rates["model.encode, all rows"]),
        "encoding distinct texts": _ratio(of_distinct, rates["model.encode, distinct texts"]),
    }


def _ratio(left: list[float], right: list[float]) -> dict[str, float]:
    return spread([one / other for one, other in zip(left, right, strict=True)])


def drawn_vectors(built: TrainingSet) -> ValueVectors:
    """Vectors of all values of text fields, at random."""
    random = np.random.default_rng(1)
    fields = {}
    for name, values in built.values_wanted().items():
        vectors = random.standard_normal((len(values), SEMANTIC_DIM)).astype(np.float32)
        fields[name] = FieldValueVectors(tuple(values), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return ValueVectors(DATASET, "0" * 16, "drawn", fields)


def model_costs(workspace: Workspace, backbone: BackboneName, *, repeats: int) -> dict[str, Any]:
    """CPU milliseconds of scoring a batch of known values and of a training step, with value vectors and plain."""
    built = TrainingSet.load(workspace.current(DATASET)["join"])
    layout, data = built.transform.layout, built.data
    chosen = np.random.default_rng(2).choice(data.split.train, ROWS, replace=False)
    tables = ValueTables.fit(built.transform, drawn_vectors(built), ValuesConfig(), built.unseen)
    config = ModelConfig(backbone=backbone)
    plain, valued = CTRModel(config, layout), CTRModel(config, layout, values=tables)
    bare = folded(valued).eval()
    ids = data.ids[chosen]
    scoring = turns({"plain": lambda: predict(plain, ids), "folded": lambda: predict(bare, ids)}, repeats, calls=5)
    unseen = UnseenValues(bare, built.transform, ValueProjections.of(valued))  # type: ignore[arg-type]
    held, rows = _cold(unseen, ids)
    with_unseen = turns(
        {"folded": lambda: predict(bare, ids), "unseen": lambda: unseen.score(ids, held, rows)}, repeats, calls=5
    )
    batch = Batch(
        ids=torch.from_numpy(ids),
        label=torch.from_numpy(data.label[chosen]),
        version=torch.from_numpy(data.version[chosen]),
    )
    steps = {name: TrainingStep(one.train(), TrainConfig.of(backbone), Processes()) for name, one in
             {"plain": plain, "values": valued}.items()}  # fmt: skip
    training = turns({name: lambda step=step: step(batch) for name, step in steps.items()}, repeats, calls=5)  # type: ignore[misc]
    return {
        "backbone": backbone,
        "rows": ROWS,
        "scoring_ms": _milliseconds(scoring),
        "scoring_with_unseen_ms": _milliseconds(with_unseen),
        "training_ms": _milliseconds(training),
        "scoring known values": _ratio(scoring["folded"], scoring["plain"]),
        "scoring with 1 row in 20 unseen": _ratio(with_unseen["unseen"], with_unseen["folded"]),
        "training step": _ratio(training["values"], training["plain"]),
    }


def _cold(
    unseen: UnseenValues, ids: NDArray[np.int32]
) -> tuple[dict[str, UnseenRows], dict[str, dict[str, NDArray[np.float32]]]]:
    """Every twentieth row with a film that training never saw. (The ids are made OOV in place.)"""
    at = np.arange(0, len(ids), 20)
    layout = unseen.transform.layout
    ids[at, layout.slot_starts[layout.names.index("item_id")]] = 1
    words = [f"new {number}" for number in range(len(at))]
    vectors = np.random.default_rng(3).standard_normal((len(at), SEMANTIC_DIM)).astype(np.float32)
    rows = dict(zip(words, unseen.rows("item_id", vectors), strict=True))
    return {"item_id": UnseenRows.of(at, words)}, {"item_id": rows}


def _milliseconds(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {name: spread([one * 1000 for one in some]) for name, some in seconds.items()}


def show(result: dict[str, Any]) -> None:
    """A Markdown table."""
    found = result["encoding"]
    print(f"{found['rows']:,} rows, {found['distinct_texts']:,} distinct texts; CPU time, one thread, median (range)\n")
    print("| encoding | texts per CPU-second |")
    print("|---|---:|")
    for name, one in found["texts_per_cpu_second"].items():
        print(f"| {name} | {one['median']:,.0f} ({one['low']:,.0f} to {one['high']:,.0f}) |")
    print("\n| ratio | median (range) | wanted |")
    print("|---|---:|---:|")
    lines = [("encoding rows", "", found), ("encoding distinct texts", "", found)]
    for one in result["models"]:
        names = ("scoring known values", "scoring with 1 row in 20 unseen", "training step")
        lines += [(name, f", {one['backbone']}", one) for name in names]
    for name, of, one in lines:
        ratio, limit = one[name], LIMITS.get(name)
        sign = ">=" if name == "encoding rows" else "<="
        met = limit is not None and (ratio["median"] >= limit if sign == ">=" else ratio["median"] <= limit)
        wanted = "" if limit is None else f"{sign} {limit:g}, {'met' if met else 'NOT met'}"
        print(f"| {name}{of} | {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}) | {wanted} |")


def main(arguments: list[str] | None = None) -> int:
    """Prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path(".llactr"), help="one in which the quickstart has run")
    parser.add_argument("--rows", type=int, default=1000, help="rows that model.encode is given")
    parser.add_argument("--texts", type=int, default=1_000_000, help="distinct texts at most")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backbones", nargs="+", default=["fm", "deepfm"])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    workspace = Workspace.at(asked.workspace)
    result: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.value_encoding", *(arguments or sys.argv[1:])]),
        "threads": 1,
        "torch": torch.__version__,
        "load_before": round(os.getloadavg()[0], 1),
        "repeats": asked.repeats,
        "encoding": encoding(workspace, rows=asked.rows, texts=asked.texts, repeats=asked.repeats),
    }
    result["models"] = [model_costs(workspace, one, repeats=max(asked.repeats, 5)) for one in asked.backbones]
    show(result)
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
