"""What `llactr snapshots` costs: all moments of some events, then those of a day that comes on top.

    python -m benchmarks.snapshots                          # 200,000 events, a day of 2,000
    python -m benchmarks.snapshots --rows 200000 1000000

The events are those of `benchmarks.history`, with keys as text: eight windows, taste by vectors of 24 dimensions, the
last 50 events. Every size is a process of its own; the states lie in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.history import definition_of, drawn_events
from llactr.history import Events
from llactr.spec import DatasetSpec
from llactr.store.history import write_snapshots
from llactr.workspace import Workspace

__all__ = ["main", "measure"]

_REPOSITORY = Path(__file__).resolve().parents[1]
_SPEC = {
    "name": "drawn",
    "description": "made-up events",
    "sources": {"events": {"path": "events.csv", "format": "csv"}},
    "events": "events",
    "timestamp": {"column": "at", "unit": "us"},
    "label": {"column": "clicked"},
    "entities": {"user": {"join_key": "user_id"}, "item": {"join_key": "item_id"}},
    "fields": [
        {"name": "user_id", "description": "who it is", "owner": "user", "kind": "categorical"},
        {"name": "item_id", "description": "what it is", "owner": "item", "kind": "categorical"},
    ],
}


def measure(rows: int) -> dict[str, Any]:
    """CPU seconds, states and memory of both, in this process."""
    definition, spec = definition_of(), DatasetSpec.model_validate(_SPEC)
    events, day = drawn_events(definition, rows + rows // 100), rows // 100
    found: dict[str, Any] = {"rows": rows, "day": day}
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace.at(Path(name))
        folder = workspace.offline_table(spec.name, "events")
        folder.mkdir(parents=True)
        for what, part in (("all", slice(0, rows)), ("new", slice(rows, rows + day))):
            pq.write_table(_table(events, part), folder / f"part-{what}.parquet")
            started = time.process_time()
            written = write_snapshots(workspace, spec, definition)
            seconds = time.process_time() - started
            found |= {f"{what}_how": written.how, f"{what}_states": written.rows, f"{what}_cpu_s": round(seconds, 2)}
            found[f"{what}_events_per_cpu_s"] = round(written.events / seconds)
        found["disk_mb"] = round(sum(path.stat().st_size for path in workspace.root.rglob("*-*.parquet")) / 2**20)
    return found | {"peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def _table(events: Events, part: slice) -> pa.Table:
    columns = {
        "user_id": [f"u{one}" for one in events.user[part].tolist()],
        "item_id": [f"i{one}" for one in events.item[part].tolist()],
        "event_timestamp": pa.array(events.time[part]).cast(pa.timestamp("us", "UTC")),
        "label": pa.array(events.outcome[part]),
    }
    return pa.table(columns)


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measures what the arguments ask for, and prints it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000])
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
        return []
    environment, found = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}, []
    for rows in asked.rows:
        command = [sys.executable, "-m", "benchmarks.snapshots", "--measure", str(rows)]
        done = subprocess.run(command, env=environment, cwd=_REPOSITORY, check=True, stdout=subprocess.PIPE)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(found[-1]), flush=True)
    return found


if __name__ == "__main__":
    main()
