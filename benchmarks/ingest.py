"""What it costs to ingest a click log: CPU and memory of `write_offline_tables`, for logs of any length.

    python -m benchmarks.ingest                       # 20M rows in Parquet
    python -m benchmarks.ingest --rows 200000 2000000 --runs 3

The log is made up: five columns, a million users, 200,000 items, events in no order, so that all must be sorted. Each
ingest is a process of its own. Of what it wrote, the rows, the clicks and the order in time are checked.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["main", "measure", "table", "write_log"]

USERS, ITEMS = 1_000_000, 200_000
LIMIT_MB = 4096
"""What an ingest of any length may hold."""
_CHUNK_ROWS = 1_000_000
_REPOSITORY = Path(__file__).resolve().parents[1]
_SCHEMA = pa.schema(
    {"user": pa.int64(), "item": pa.int64(), "clicked": pa.int8(), "time": pa.int64(), "device": pa.string()}
)


def write_log(folder: Path, rows: int) -> int:
    """Writes `log.parquet` and `users.parquet`; returns the number of clicks."""
    random = np.random.default_rng(0)
    clicks = 0
    with pq.ParquetWriter(folder / "log.parquet", _SCHEMA) as writer:
        for start in range(0, rows, _CHUNK_ROWS):
            count = min(_CHUNK_ROWS, rows - start)
            clicked = (random.random(count) < 0.2).astype(np.int8)
            clicks += int(clicked.sum())
            columns = {
                "user": random.integers(0, USERS, count),
                "item": random.integers(0, ITEMS, count),
                "clicked": clicked,
                "time": random.integers(1_600_000_000, 1_700_000_000, count),
                "device": pa.array(["phone", "tablet", "desktop"]).take(pa.array(random.integers(0, 3, count))),
            }
            writer.write_table(pa.table(columns, schema=_SCHEMA))
    users = np.arange(USERS)
    pq.write_table(pa.table({"user": users, "age": users % 80}), folder / "users.parquet")
    return clicks


def measure(folder: Path) -> dict[str, Any]:
    """Ingests the folder's log, in this process."""
    from llactr.datasets import write_offline_tables
    from llactr.spec import DatasetSpec
    from llactr.workspace import Workspace

    owners = {"user": "user", "age": "user", "item": "item", "device": "context"}
    fields: list[dict[str, Any]] = [
        {"name": name, "description": f"{name} of the event", "owner": owner, "kind": "categorical"}
        for name, owner in owners.items()
    ]
    hour = {"name": "hour", "description": "hour of the event", "owner": "context", "kind": "timestamp_part"}
    spec = DatasetSpec.model_validate(
        {
            "name": "log",
            "sources": {name: {"path": f"{name}.parquet", "format": "parquet"} for name in ("log", "users")},
            "events": "log",
            "timestamp": {"column": "time", "unit": "s"},
            "label": {"column": "clicked"},
            "entities": {"user": {"join_key": "user", "source": "users"}, "item": {"join_key": "item"}},
            "fields": [*fields, hour | {"part": "hour"}],
        }
    )
    before_mb, cpu, wall = _peak_mb(), time.process_time(), time.perf_counter()
    summary = write_offline_tables(spec, Workspace.at(folder / "workspace"), folder)
    cost = {
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - wall,
        "peak_rss_mb": _peak_mb(),
        "rss_before_mb": before_mb,
    }
    events = Workspace.at(folder / "workspace").offline_table("log", "events")
    rows, clicks, last, sorted_rows = 0, 0, 0, True
    for path in sorted(events.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["event_timestamp", "label"]):
            moments = batch.column(0).cast(pa.int64()).to_numpy()
            sorted_rows &= bool(len(moments) == 0 or (moments[0] >= last and (np.diff(moments) >= 0).all()))
            last = int(moments[-1]) if len(moments) else last
            rows, clicks = rows + len(moments), clicks + int(batch.column(1).to_numpy().sum())
    return {**cost, "rows": rows, "clicks": clicks, "sorted": sorted_rows, "summary_rows": summary.rows}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measures what the arguments ask for, prints a table, and returns the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000_000])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
        return {}
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    results = []
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            clicks = write_log(folder, rows)
            runs = []
            for _ in range(asked.runs):
                command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ingest", "--measure", str(folder)]
                done = subprocess.run(
                    command, env=environment, cwd=_REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
                )
                run = json.loads(done.stdout.splitlines()[-1])
                assert (run["rows"], run["clicks"], run["summary_rows"]) == (rows, clicks, rows), run
                assert run["sorted"], run
                assert run["peak_rss_mb"] < LIMIT_MB, run
                runs.append(run)
        rates = [rows / run["cpu_seconds"] for run in runs]
        summary: dict[str, Any] = {"rows": rows, "rows_per_cpu_second": _range(rates)}
        for figure in ("cpu_seconds", "seconds", "peak_rss_mb", "rss_before_mb"):
            summary[figure] = _range([run[figure] for run in runs])
        results.append(summary)
    figures = {"benchmark": "ingest", "runs": asked.runs, "limit_mb": LIMIT_MB, "results": results}
    print(table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _range(values: list[float]) -> list[float]:
    return [round(statistics.median(values), 2), round(min(values), 2), round(max(values), 2)]


def table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    lines = [
        f"Median of {figures['runs']} runs (range)",
        "",
        "| rows | CPU-s | rows per CPU-s | peak RSS, MB | before, MB |",
        "|---:|---:|---:|---:|---:|",
    ]

    def cell(figure: list[float], digits: int = 0) -> str:
        middle, low, high = (f"{value:,.{digits}f}" for value in figure)
        return f"{middle} ({low}–{high})" if figures["runs"] > 1 else middle

    for row in figures["results"]:
        cells = [f"{row['rows']:,}", cell(row["cpu_seconds"], 1), cell(row["rows_per_cpu_second"])]
        lines.append(f"| {' | '.join([*cells, cell(row['peak_rss_mb']), cell(row['rss_before_mb'])])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
