"""Point-in-time joins: the ASOF store against Feast's own DuckDB store, in CPU, wall time and memory.

    python benchmarks/point_in_time.py                      # 100k and 1M rows, 2 views x 10 versions + the release view
    python benchmarks/point_in_time.py --repeats 5 --json out.json
    python benchmarks/point_in_time.py --stores asof,spark,stock-spark --rows 1000000 --growth ''
    python benchmarks/point_in_time.py --stream-rows 20000000 --memory-limit 1500MB --rows '' --growth ''

Each measurement is a process of its own: imports, definitions and the entity frame come first, then the join to Arrow
is measured alone. CPU is that of all processes, Spark's Java among them. Memory is Python's peak resident set during
the join, and what of it was there before. The rows of all stores are compared in every run. `--stream-rows` writes a
training set of 20 fields to a directory of Parquet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import cpu_seconds_of_all

STORES = {
    "stock": "duckdb",
    "asof": "llactr.store.asof.AsofDuckDBOfflineStore",
    "spark": "llactr.store.spark.AsofSparkOfflineStore",
    "stock-spark": "spark",
}
SPARK = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.memory": "4g",
}
DAY_US = 86_400_000_000
START_US = 1_700_000_000_000_000
SPAN_DAYS = 100
CHUNK_ROWS = 1_000_000


def main() -> None:
    options = _arguments()
    if options.worker:
        job = json.loads(options.worker)
        print(json.dumps({"write": write_world, "join": measure_join, "stream": measure_stream}[job.pop("do")](**job)))
        return
    results: dict[str, Any] = {"machine": {"cpus": os.cpu_count()}, "joins": [], "growth": [], "stream": []}
    with tempfile.TemporaryDirectory(prefix="llactr-bench-", dir=options.folder) as folder:
        for rows in options.rows:
            results["joins"].append(compare(Path(folder), rows, max(rows // 10, 1), options.versions, options))
        for versions in options.growth:
            results["growth"].append(compare(Path(folder), 100_000, 10_000, versions, options))
        if options.stream_rows:
            results["stream"].append(stream(Path(folder), options))
    if results["joins"]:
        print("\n## Rows (versions per key fixed)\n\n" + table(results["joins"]))
    if results["growth"]:
        print("\n## Versions per key (100,000 rows, 10,000 keys per view)\n\n" + table(results["growth"]))
    for done in results["stream"]:
        print("\n## Streamed to Parquet\n\n" + json.dumps(done))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


def compare(folder: Path, rows: int, keys: int, versions: int, options: argparse.Namespace) -> dict[str, Any]:
    """Both stores on one world, `repeats` times each, taking turns."""
    world = folder / f"world-{rows}-{keys}-{versions}"
    _run({"do": "write", "folder": str(world), "rows": rows, "keys": keys, "versions": versions, "fields": 5})
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in options.stores}
    for _ in range(options.repeats):
        for name in options.stores:
            measured[name].append(_run({"do": "join", "folder": str(world), "store": name}))
    shutil.rmtree(world)
    digests = {run["digest"] for runs in measured.values() for run in runs}
    if len(digests) != 1:
        raise SystemExit(f"the stores gave different rows for {rows} x {versions}: {digests}")
    return {"rows": rows, "keys": keys, "versions": versions, "stores": measured}


def stream(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One training set, from Parquet to Parquet."""
    world = folder / "stream"
    rows = options.stream_rows
    keys = min(max(rows // 20, 1), 1_000_000)
    _run({"do": "write", "folder": str(world), "rows": rows, "keys": keys, "versions": 3, "fields": 8})
    limits = {"memory_limit": options.memory_limit, "temp_directory": str(world / "spill")}
    done = _run({"do": "stream", "folder": str(world), "limits": limits})
    shutil.rmtree(world)
    return {**done, "keys": keys, "versions": 3, "memory_limit": options.memory_limit}


def write_world(*, folder: str, rows: int, keys: int, versions: int, fields: int) -> dict[str, Any]:
    """Events with users and items, their views with several versions a key, and four releases; the same every time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    moment = pa.timestamp("us", "UTC")
    root = Path(folder)
    root.mkdir(parents=True)
    rng = np.random.default_rng(20240101)

    def names(prefix: str, numbers: Any) -> Any:
        return pa.array(np.char.add(prefix, numbers.astype(np.int64).astype(str)))

    for view in ("user", "item"):
        key = np.repeat(np.arange(keys), versions)
        rng.shuffle(key)
        with pq.ParquetWriter(root / f"{view}.parquet", _view_schema(pa, view, fields)) as writer:
            for part in np.array_split(key, max(len(key) // CHUNK_ROWS, 1)):
                at = START_US + rng.integers(0, SPAN_DAYS * DAY_US, len(part))
                columns = [names(view[0], part)]
                columns += [
                    pa.array(rng.normal(size=len(part))) if i % 2 == 0 else names("v", rng.integers(0, 50, len(part)))
                    for i in range(fields)
                ]
                columns += [pa.array(at, moment), pa.array(at + rng.integers(0, DAY_US, len(part)), moment)]
                writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))
    releases = START_US + np.arange(4) * (SPAN_DAYS // 4) * DAY_US
    pq.write_table(
        pa.table(
            {
                "dataset": ["d"] * 4,
                "semantics_version": [f"s{i}" for i in range(4)],
                "event_timestamp": pa.array(releases, moment),
                "created_timestamp": pa.array(releases, moment),
            }
        ),
        root / "release.parquet",
    )
    schema = pa.schema(
        {
            "user_id": pa.string(),
            "item_id": pa.string(),
            "dataset": pa.string(),
            "row": pa.int64(),
            "hour": pa.int64(),
            "device": pa.string(),
            "slot": pa.int32(),
            "price": pa.float64(),
            "label": pa.float32(),
            "event_timestamp": moment,
        }
    )
    (root / "events").mkdir()
    for number, first in enumerate(range(0, rows, CHUNK_ROWS)):
        n = min(CHUNK_ROWS, rows - first)
        step = SPAN_DAYS * DAY_US // max(rows, 1)
        at = START_US + (first + np.arange(n)) * step + rng.integers(0, max(step, 1), n)
        columns = [
            names("u", rng.integers(0, max(int(keys * 1.05), 1), n)),  # one in twenty has no features
            names("i", keys * rng.random(n) ** 2),
            pa.array(["d"] * n),
            pa.array(np.arange(first, first + n)),
            pa.array(rng.integers(0, 24, n)),
            names("device", rng.integers(0, 4, n)),
            pa.array(rng.integers(0, 8, n).astype(np.int32)),
            pa.array(rng.random(n)),
            pa.array(rng.integers(0, 2, n).astype(np.float32)),
            pa.array(at, moment),
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), root / "events" / f"{number:05d}.parquet")
    return {"rows": rows}


def _view_schema(pa: Any, view: str, fields: int) -> Any:
    kinds = {f"{view}_f{i}": pa.float64() if i % 2 == 0 else pa.string() for i in range(fields)}
    times = dict.fromkeys(("event_timestamp", "created_timestamp"), pa.timestamp("us", "UTC"))
    return pa.schema({f"{view}_id": pa.string(), **kinds, **times})


def measure_join(*, folder: str, store: str) -> dict[str, Any]:
    """One `get_historical_features(...).to_arrow()` of one store."""
    import pandas as pd

    feature_store, refs = _feature_store(Path(folder), store, {})
    entities = pd.read_parquet(Path(folder) / "events")
    # What a first join costs once a process (imports, extensions) is not the join.
    feature_store.get_historical_features(entities.head(1), refs).to_arrow()
    measure = _Measure()
    result = feature_store.get_historical_features(entities, refs).to_arrow()
    done = measure.stop()
    frame = result.to_pandas().sort_values("row").drop(columns="event_timestamp")
    hashes = pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False)
    return {**done, "rows": result.num_rows, "digest": hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()[:16]}


def measure_stream(*, folder: str, limits: dict[str, str]) -> dict[str, Any]:
    """One training set of any size, its entity rows from SQL, to a directory of Parquet."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    feature_store, refs = _feature_store(Path(folder), "asof", limits)
    pa.set_cpu_count(2)
    query = f"SELECT * FROM read_parquet('{folder}/events/*.parquet')"
    measure = _Measure()
    rows = feature_store.get_historical_features(query, refs).to_parquet(Path(folder) / "training_set")
    done = measure.stop()
    files = sorted((Path(folder) / "training_set").iterdir())
    first = 0
    for file in files:
        numbers = pq.read_table(file, columns=["row"])["row"]
        if not numbers.equals(pa.chunked_array([pa.array(range(first, first + len(numbers)))])):
            raise SystemExit(f"{file} is not in the order of the events")
        first += len(numbers)
    known = pc.sum(pc.is_valid(pq.read_table(files[-1], columns=["user_f0"])["user_f0"])).as_py()
    size = sum(file.stat().st_size for file in files)
    fields = len(refs) + 4
    return {**done, "rows": rows, "fields": fields, "files": len(files), "size_mb": round(size / 1e6), "known": known}


def _feature_store(folder: Path, store: str, limits: dict[str, str]) -> tuple[Any, list[str]]:
    from datetime import timedelta

    import pyarrow.parquet as pq
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, String

    on_spark = {"spark_conf": SPARK} if "spark" in store else {}

    def view(name: str, key: str, ttl_days: int) -> tuple[Any, Any]:
        schema = pq.read_schema(folder / f"{name}.parquet")
        entity = Entity(name=key, join_keys=[key], value_type=ValueType.STRING)
        settings = {"timestamp_field": "event_timestamp", "created_timestamp_column": "created_timestamp"}
        settings |= {"name": f"{name}_source", "path": str(folder / f"{name}.parquet")}
        source: Any = FileSource(**settings)
        if store == "stock-spark":  # which reads no other
            from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

            source = SparkSource(**settings, file_format="parquet")
        kinds = {"string": String, "double": Float64}
        fields = [Field(name=f.name, dtype=kinds[str(f.type)]) for f in schema if str(f.type) in kinds]
        return entity, FeatureView(
            name=name, entities=[entity], schema=fields, source=source, ttl=timedelta(days=ttl_days)
        )

    views = [view("user", "user_id", 60), view("item", "item_id", 0), view("release", "dataset", 0)]
    registry = tempfile.mkdtemp(dir=folder)
    config = RepoConfig(
        project="p",
        provider="local",
        registry=f"{registry}/registry.db",
        offline_store={"type": STORES[store], **limits, **on_spark},
        online_store={"type": "sqlite", "path": f"{registry}/online.db"},
        entity_key_serialization_version=3,
    )
    feature_store = FeatureStore(config=config)
    feature_store.apply([thing for pair in views for thing in pair])
    return feature_store, [f"{v.name}:{f.name}" for _, v in views for f in v.features]


class _Measure:
    """CPU, wall time and peak memory from construction to `stop`."""

    def __init__(self) -> None:
        import gc

        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self.base_mb = _status_mb("VmRSS")
        self.cpu, self.wall = cpu_seconds_of_all(), time.perf_counter()

    def stop(self) -> dict[str, float]:
        return {
            "cpu_s": round(cpu_seconds_of_all() - self.cpu, 3),
            "before_cpu_s": round(self.cpu, 3),
            "wall_s": round(time.perf_counter() - self.wall, 3),
            "peak_rss_mb": round(_status_mb("VmHWM")),
            "base_rss_mb": round(self.base_mb),
        }


def _status_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1024


def table(comparisons: Sequence[dict[str, Any]]) -> str:
    """A Markdown table: median (least to most) of the repeats."""
    lines = [
        "| rows | versions | store | CPU s | wall s | peak RSS MB | of it the join's | CPU | peak | the join's |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for comparison in comparisons:
        medians: dict[str, list[float]] = {}
        for name, runs in comparison["stores"].items():
            series = [[run[key] for run in runs] for key in ("cpu_s", "wall_s", "peak_rss_mb")]
            series.append([run["peak_rss_mb"] - run["base_rss_mb"] for run in runs])
            medians[name] = [statistics.median(values) for values in series]
            cells = [f"{statistics.median(v):,.4g} ({min(v):,.4g}-{max(v):,.4g})" for v in series]
            ratios = ["", "", ""]
            if name != "stock" and "stock" in medians:
                ratios = [f"÷{medians['stock'][i] / medians[name][i]:.1f}" for i in (0, 2, 3)]
            shown = [f"{comparison['rows']:,}", str(comparison["versions"]), name, *cells, *ratios]
            lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _run(job: dict[str, Any]) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-W", "ignore", __file__, "--worker", json.dumps(job)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{job} -> {result}", file=sys.stderr)
    return result


def _arguments() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",") if part]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=numbers, default=[100_000, 1_000_000], help="entity rows, separated by commas")
    parser.add_argument("--versions", type=int, default=10, help="versions a key")
    parser.add_argument("--growth", type=numbers, default=[1, 10, 100], help="versions a key for 100,000 rows")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stores", type=lambda text: text.split(","), default=["stock", "asof"])
    parser.add_argument("--stream-rows", type=int, default=0, help="rows of a training set streamed to Parquet")
    parser.add_argument("--memory-limit", default="1500MB", help="of the streamed training set")
    parser.add_argument("--folder", help="where the worlds are written; by default the temporary folder")
    parser.add_argument("--json", type=Path, help="where to write all numbers")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
