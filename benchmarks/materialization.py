"""What it costs to bring entities online: this repository's settings against stock Feast, into SQLite and into Redis.

    python -m benchmarks.materialization                         # 1M entities, three runs of each
    python -m benchmarks.materialization --rows 50000 --runs 1   # in about two minutes

One view of six features, every tenth entity with two versions. Each measurement is a process of its own that opens the
store, then materializes the view once; CPU is that of the process and of those it started, user and system, and Redis's
is told beside it. Peak memory includes Python with Feast and DuckDB loaded, which is told as well. What is online
afterwards is counted, and values of a few keys are compared: the newest version must be there.

- `stock`: Feast's local engine with its default settings, where all rows are one batch;
- `stock, batches`: the same with `online_write_batch_size: 10000`;
- `llactr`: this repository's feature_store.yaml, or feature_store.redis.yaml;
- `spark`: feature_store.spark.yaml, which is Redis alone, if asked for; its Java process and workers are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.processes import cpu_seconds_of_all

__all__ = ["CONFIGURATIONS", "main", "measure", "prepare", "redis_server"]

CONFIGURATIONS = ("stock", "stock, batches", "llactr", "spark")
DEFAULT = CONFIGURATIONS[:3]
STORES = ("sqlite", "redis")
FEATURES = {"city": 5_000, "age": 10, "gender": 4, "occupation": 24, "device": 2_000}
CHECKED = 50
REPOSITORY = Path(__file__).resolve().parents[1]
_START = datetime(2024, 1, 1, tzinfo=UTC)
_TIMESTAMP = pa.timestamp("us", "UTC")

_STOCK = """\
project: llactr
provider: local
registry: {{path: feast/registry.{name}.db, registry_store_type: llactr.store.feast.registry.WorkspaceRegistryStore}}
offline_store: {{type: duckdb}}
online_store: {online}
entity_key_serialization_version: 3
{batches}"""


def prepare(root: Path, rows: int) -> Path:
    """Writes a workspace with one ingested dataset, and the YAML files of the configurations.

    Args:
        root: a fresh folder.
        rows: entities; every tenth has a second, newer version.

    Returns:
        the folder with the YAML files.
    """
    import yaml

    from llactr.spec import DatasetSpec
    from llactr.workspace import Workspace

    workspace = Workspace.at(root / "workspace")
    source = {"path": "none.parquet", "format": "parquet"}
    spend = {"name": "spend", "description": "money spent", "owner": "user", "kind": "numeric"}
    fields = [
        {"name": name, "description": f"{name} of the user", "owner": "user", "kind": "categorical"}
        for name in FEATURES
    ]
    content = {
        "name": "people",
        "sources": {"events": source, "users": source},
        "events": "events",
        "timestamp": {"column": "time"},
        "label": {"column": "clicked"},
        "entities": {"user": {"join_key": "user_id", "source": "users"}, "item": {"join_key": "item_id"}},
        "fields": [*fields, spend],
    }
    spec = DatasetSpec.model_validate(content)
    dataset = workspace.dataset(spec.name)
    dataset.mkdir(parents=True)
    (dataset / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
    (dataset / "manifest.json").write_text(json.dumps({"start": _START.isoformat(), "end": _START.isoformat()}))
    folder = workspace.offline_table(spec.name, "user")
    folder.mkdir(parents=True)
    pq.write_table(_versions(np.arange(rows), 0), folder / "part-00000.parquet")
    pq.write_table(_versions(np.arange(0, rows, 10), 1), folder / "part-00001.parquet")

    online = {"sqlite": "{type: sqlite, path: feast/online.%s.db}", "redis": "{type: redis, connection_string: '%s'}"}
    for store in STORES:
        for name, batches in (("stock", ""), ("stock, batches", "materialization: {online_write_batch_size: 10000}\n")):
            where = online[store] % (name.replace(", ", "-") if store == "sqlite" else "${LLACTR_REDIS}")
            text = _STOCK.format(name=name.replace(", ", "-"), online=where, batches=batches)
            (root / f"{store}.{name}.yaml").write_text(text)
    shutil.copy(REPOSITORY / "feature_repo" / "feature_store.yaml", root / "sqlite.llactr.yaml")
    shutil.copy(REPOSITORY / "feature_repo" / "feature_store.redis.yaml", root / "redis.llactr.yaml")
    shutil.copy(REPOSITORY / "feature_repo" / "feature_store.spark.yaml", root / "redis.spark.yaml")
    return root


def _versions(users: np.ndarray, version: int) -> pa.Table:
    """Rows whose values are read off the key and the version, so that a check can tell what should be online."""
    moments = pa.array([_START + timedelta(hours=version)] * len(users), _TIMESTAMP)
    columns: dict[str, Any] = {"user_id": pa.array(users).cast(pa.string())}
    for place, (name, size) in enumerate(FEATURES.items()):
        codes = pa.array((users * (place + 3) + version) % size).cast(pa.string())
        columns[name] = pa.compute.binary_join_element_wise(pa.scalar(name), codes, "-")
    columns["spend"] = pa.array(users / 7 + version)
    return pa.table({**columns, "event_timestamp": moments, "created_timestamp": moments})


def measure(root: Path, store_name: str, configuration: str) -> dict[str, Any]:
    """Materializes once, in this process; see the module's text."""
    from llactr import store
    from llactr.workspace import Workspace

    config = root / f"{store_name}.{configuration}.yaml"
    workspace = Workspace.at(root / "workspace")
    store.apply(workspace, config=config)
    feast_store = store.open_store(workspace, config=config)
    _ = feast_store.provider.batch_engine
    before_mb, cpu, wall = _peak_mb(), cpu_seconds_of_all(), time.perf_counter()
    if configuration in ("llactr", "spark"):
        store.materialize(workspace, config=config, start=_START - timedelta(days=1), end=_START + timedelta(days=1))
    else:
        feast_store.materialize(_START - timedelta(days=1), _START + timedelta(days=1), feature_views=["people__user"])
    cost = {
        "cpu_seconds": cpu_seconds_of_all() - cpu,
        "seconds": time.perf_counter() - wall,
        "peak_rss_mb": _peak_mb(),
        "rss_before_mb": before_mb,
    }
    users = list(range(CHECKED))
    names = [*FEATURES, "spend"]
    answer = feast_store.get_online_features(
        [f"people__user:{name}" for name in names], [{"user_id": str(user)} for user in users]
    ).to_dict()
    old, new = (_versions(np.array(users), version).select(names).to_pydict() for version in (0, 1))
    expected = {name: [(new if user % 10 == 0 else old)[name][user] for user in users] for name in names}
    return {**cost, "right": all(answer[name] == expected[name] for name in names)}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def redis_server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real Redis on a free loopback port, without persistence; its address is in `LLACTR_REDIS` meanwhile."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("no redis-server binary: install Debian's package redis-server, or give --stores sqlite")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        os.environ["LLACTR_REDIS"] = f"127.0.0.1:{port}"
        yield server
    finally:
        os.environ.pop("LLACTR_REDIS", None)
        server.terminate()
        server.wait(20)


def _one_run(root: Path, store_name: str, configuration: str) -> dict[str, Any]:
    """A measurement in a process of its own, and what is online afterwards."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.materialization", "--measure", str(root), store_name]

    def run() -> dict[str, Any]:
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            [*command, configuration], env=environment, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    if store_name == "sqlite":
        for old in (root / "workspace" / "feast").glob("online*"):
            old.unlink()
        found = run()
        (database,) = (root / "workspace" / "feast").glob("online*.db")
        with sqlite3.connect(database) as connection:
            query = "SELECT count(DISTINCT entity_key) FROM llactr_people__user"
            found["online"] = connection.execute(query).fetchone()[0]
        found["store_mb"] = database.stat().st_size / 2**20
        return found
    import redis

    with redis_server(root) as server:
        found = run()
        host, port = os.environ["LLACTR_REDIS"].split(":")
        with redis.Redis(host=host, port=int(port)) as client:
            usage = client.info()
            # marks of views lie there as well, under keys of another name
            found["online"] = sum(1 for _ in client.scan_iter(match="*user_id*", count=10_000))
        found["store_mb"] = usage["used_memory"] / 2**20
        found["server_cpu_seconds"] = usage["used_cpu_user"] + usage["used_cpu_sys"]
        assert server.poll() is None
    return found


def _summary(runs: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """Median and range of what was measured, and rows per CPU-second."""
    summary: dict[str, Any] = {}
    rates = {"rows_per_cpu_second": [rows / run["cpu_seconds"] for run in runs]}
    for name in ("cpu_seconds", "seconds", "peak_rss_mb", "rss_before_mb", "store_mb", "server_cpu_seconds"):
        if name in runs[0]:
            rates[name] = [run[name] for run in runs]
    for name, values in rates.items():
        summary[name] = [round(statistics.median(values), 2), round(min(values), 2), round(max(values), 2)]
    return summary


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measures what the arguments ask for, prints a table (or JSON), and returns the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="entities")
    parser.add_argument("--runs", type=int, default=3, help="runs of each configuration; medians and ranges are told")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--configurations", nargs="+", choices=CONFIGURATIONS, default=list(DEFAULT))
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--measure", nargs=3, metavar=("ROOT", "STORE", "CONFIGURATION"), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.measure:
        print(json.dumps(measure(Path(asked.measure[0]), *asked.measure[1:])))
        return {}
    if "spark" in asked.configurations and asked.stores != ["redis"]:
        parser.error("the configuration spark writes to Redis: give --stores redis")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        root = prepare(Path(folder), asked.rows)
        of: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for _ in range(asked.runs):  # interleaved, so that a busy spell meets all of them
            for store_name in asked.stores:
                for configuration in asked.configurations:
                    found = _one_run(root, store_name, configuration)
                    assert found["right"], (store_name, configuration, found)
                    assert found["online"] == asked.rows, (store_name, configuration, found)
                    of.setdefault((store_name, configuration), []).append(found)
                    said = f"{found['cpu_seconds']:.1f} CPU-s, peak {found['peak_rss_mb']:.0f} MB"
                    print(f"# {store_name}, {configuration}: {said}", file=sys.stderr)
    for (store_name, configuration), runs in of.items():
        results.append({"store": store_name, "configuration": configuration, **_summary(runs, asked.rows)})
    figures = {"benchmark": "materialization", "rows": asked.rows, "runs": asked.runs, "results": results}
    print(table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table: median (lowest to highest)."""

    def cell(row: dict[str, Any], name: str) -> str:
        if name not in row:
            return "–"
        middle, low, high = row[name]
        return f"{middle:,.0f} ({low:,.0f}–{high:,.0f})" if figures["runs"] > 1 else f"{middle:,.0f}"

    lines = [
        f"{figures['rows']:,} entities, median of {figures['runs']} runs (range)",
        "",
        "| store | configuration | rows per CPU-s | CPU-s | peak RSS, MB | before, MB | Redis CPU-s | stored, MB |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    columns = ("rows_per_cpu_second", "cpu_seconds", "peak_rss_mb", "rss_before_mb", "server_cpu_seconds", "store_mb")
    for row in figures["results"]:
        cells = " | ".join(cell(row, name) for name in columns)
        lines.append(f"| {row['store']} | {row['configuration']} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
