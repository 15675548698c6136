"""What work in pieces costs on a Ray of this machine, against one process: `python -m benchmarks.on_ray`.

    python -m benchmarks.on_ray --place /tmp/on-ray --events 1000000 --users 100000 --items 3000 --json out.json

Three works on a made-up workspace, which is made once and kept in the place: encoding the items' texts with MiniLM,
scoring a file of rows with online features, joining training rows in buckets. Each is done by one process with one
thread, then by one worker and by two on Ray, each time in a process of its own. CPU seconds are those of the work
alone, of all processes of Ray together, read from /proc four times a second; Ray's own start is told apart. Wall-clock
times hold for this machine as it was. The results of all ways are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

import llactr
from llactr.pieces import ALONE, Workers

__all__ = ["main"]

WORKS = ("encode", "score", "join")
WAYS = {
    "one process": ALONE,
    "Ray, one worker": Workers(1, ray="local", threads=1),
    "Ray, two workers": Workers(2, ray="local", threads=1),
}
PIECE, BUCKETS, ROWS_A_BATCH = 256, 8, 100_000
_WORDS = "red blue old new small large quick quiet glass iron wood paper garden city river night lamp chair box clock"


def make(place: Path, *, events: int, users: int, items: int) -> None:
    """A workspace with events, users of two versions, items with texts, a DeepFM, and features online."""
    draw = np.random.default_rng(0)
    tables, words = place / "tables", _WORDS.split()
    tables.mkdir(parents=True)
    at = 1_700_000_000 + np.sort(draw.integers(0, 30 * 86_400, events))
    who = pa.array(draw.integers(0, users, events)).cast(pa.string())
    what = pa.array(draw.zipf(1.3, events) % items).cast(pa.string())
    device = pa.array(np.array(["phone", "desk", "tv"])[draw.integers(0, 3, events)])
    clicked = pa.array(draw.integers(0, 2, events))
    rows = pa.table({"user": who, "item": what, "device": device, "at": at})
    pq.write_table(rows.append_column("clicked", clicked), tables / "events.parquet")
    pq.write_table(rows.drop_columns(["at"]), place / "rows.parquet")
    keys = pa.array(np.arange(users)).cast(pa.string())
    traits = {name: pa.array(draw.integers(0, 50, users)).cast(pa.string()) for name in ("job", "town", "plan")}
    pq.write_table(pa.table({"user": keys, "age": draw.gamma(5, 8, users)} | traits), tables / "users.parquet")
    titles = [f"{' '.join(draw.choice(words, 6))} {number}" for number in range(items)]
    pq.write_table(pa.table({"item": pa.array(np.arange(items)).cast(pa.string()), "title": titles}),
                   tables / "items.parquet")  # fmt: skip

    def field(name: str, owner: str, kind: str = "categorical", **more: Any) -> dict[str, Any]:
        return {"name": name, "description": f"the {name}", "owner": owner, "kind": kind, **more}

    content = {
        "name": "made-up",
        "sources": {name: {"path": f"{name}.parquet", "format": "parquet"} for name in ("events", "users", "items")},
        "events": "events",
        "timestamp": {"column": "at", "unit": "s"},
        "label": {"column": "clicked", "equals": 1},
        "entities": {"user": {"join_key": "user", "source": "users"}, "item": {"join_key": "item", "source": "items"}},
        "fields": [
            field("user", "user"), *(field(name, "user") for name in traits), field("age", "user", "numeric"),
            field("item", "item"), field("title", "item", value_text=True), field("device", "context"),
        ],
    }  # fmt: skip
    spec = place / "spec.yaml"
    spec.write_text(yaml.safe_dump(content))
    ws = llactr.open(place / "workspace")
    ws.ingest(str(spec), data=tables)
    ws.encode(untuned=True)
    ws.apply()
    ws.materialize()
    ws.train({"backbone": "deepfm", "arm": "plain", "training": {"max_epochs": 1, "batch_size": 8192}})


def encode(place: Path, workers: Workers) -> tuple[int, str]:
    """Texts, and what is stored of all values: their vectors' bytes in the order of the values."""
    from llactr.semantics import ValueSemanticsConfig
    from llactr.store.tables import value_files
    from llactr.store.vectors.encode_values import encode_dataset_values

    copy = place / "encoding"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place / "workspace", copy)
    ws = llactr.open(copy)
    with ws.writing(force=True) as job:
        config = ValueSemanticsConfig(tune=False)
        made = encode_dataset_values(job, "made-up", config, untuned=True, workers=workers, piece=PIECE).result
    table = pa.concat_tables(
        pq.read_table(file, partitioning=None, columns=["value", "vector"])
        for file in value_files(ws.workspace, "made-up", made.version)
    ).sort_by("value")
    return made.new_texts, hashlib.sha256(str(table["vector"].to_pylist()).encode()).hexdigest()


def score(place: Path, workers: Workers) -> tuple[int, str]:
    """Rows, and the scored file's hash without its times, which are those of now."""
    from llactr.ctr.batch_scoring import RequestTimes, open_scorer, score_file
    from llactr.datasets.row_batches import RowSource

    times = RequestTimes()
    scorer = open_scorer(llactr.open(place / "workspace").workspace, "made-up", None, times)
    source, out = RowSource(scorer.spec, place / "rows.parquet"), place / "scores.parquet"
    made = score_file(scorer, source, out, times=times, batch_rows=ROWS_A_BATCH, workers=workers)
    return made.rows, hashlib.sha256(pq.read_table(out)["score"].to_numpy().tobytes()).hexdigest()


def join(place: Path, workers: Workers, *, buckets: int | None = BUCKETS) -> tuple[int, str]:
    """Rows, and a hash of all their values in their order; without buckets the one join of all rows."""
    from llactr.store import training_rows
    from llactr.store.ingested import dataset_spec
    from llactr.store.training_buckets import bucketed_training_rows

    workspace = llactr.open(place / "workspace").workspace
    spec, seen, rows = dataset_spec(workspace, "made-up"), hashlib.sha256(), 0

    def see(table: pa.Table) -> None:
        for name in table.column_names:
            if pa.types.is_dictionary(table[name].type):
                table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
        seen.update(str(table.slice(0, 1000).to_pylist()).encode())

    if buckets is None:
        whole = training_rows(workspace, spec)
        for start in range(0, whole.num_rows, 100_000):
            see(whole.slice(start, 100_000))
        return whole.num_rows, seen.hexdigest()
    with bucketed_training_rows(workspace, spec, buckets=buckets, workers=workers) as made:
        for table in made.tables(100_000):
            see(table)
            rows += table.num_rows
    return rows, seen.hexdigest()


class Watch:
    """CPU seconds and the greatest resident memory of this process and all that descend from it, from /proc."""

    def __init__(self) -> None:
        self.spent: dict[int, float] = {}
        self.peak_mb: dict[int, float] = {}
        self._stop = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self.look()

    def look(self) -> float:
        """CPU seconds so far."""
        parents: dict[int, int] = {}
        ticks: dict[int, float] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parts = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                parents[int(entry.name)] = int(parts[1])
                ticks[int(entry.name)] = (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
        ours = {os.getpid()}
        while True:
            more = {pid for pid, parent in parents.items() if parent in ours} - ours
            if not more:
                break
            ours |= more
        for pid in ours & ticks.keys():
            self.spent[pid] = ticks[pid]
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            peak = [line for line in status.splitlines() if line.startswith("VmHWM")]
            if peak:
                self.peak_mb[pid] = int(peak[0].split()[1]) / 1024
        return sum(self.spent.values())


def one(work: str, way: str, place: Path) -> dict[str, Any]:
    """A work done one way, in this process, which is to do nothing else."""
    watch, workers, began = Watch(), WAYS.get(way, ALONE), time.perf_counter()
    import torch

    torch.set_num_threads(1)
    if workers.ray is not None:
        import ray

        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    start = {"wall": time.perf_counter() - began, "cpu": watch.look()}
    began = time.perf_counter()
    does: dict[str, Callable[..., tuple[int, str]]] = {"encode": encode, "score": score, "join": join}
    count, digest = join(place, ALONE, buckets=None) if way == "one join" else does[work](place, workers)
    wall, cpu = time.perf_counter() - began, watch.look() - start["cpu"]
    others = [peak for pid, peak in watch.peak_mb.items() if pid != os.getpid()]
    return {
        "work": work, "way": way, "count": count, "digest": digest, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1),
        "start_wall_s": round(start["wall"], 1), "start_cpu_s": round(start["cpu"], 1),
        "peak_mb": round(watch.peak_mb[os.getpid()]), "greatest_other_mb": round(max(others, default=0)),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Prints a table; the exit code is 1 where two ways gave other results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--place", type=Path, default=Path("benchmarks/out/on-ray"))
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=3_000)
    parser.add_argument("--only", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--one", nargs=2, metavar=("WORK", "WAY"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    place = asked.place.absolute()
    if asked.one:
        print(json.dumps(one(*asked.one, place)))
        return 0
    if not (place / "workspace" / "bundles").is_dir():
        shutil.rmtree(place, ignore_errors=True)
        make(place, events=asked.events, users=asked.users, items=asked.items)
    found = []
    print("| work | way | done | wall s | CPU s | CPU s of the start | peak MB here | of a worker |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for work in asked.only:
        for way in (*WAYS, *(["one join"] if work == "join" else [])):
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.on_ray", "--place", place, "--one", work, way]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            result = json.loads(done.stdout.splitlines()[-1])
            found.append(result)
            shown = ("count", "wall_s", "cpu_s", "start_cpu_s", "peak_mb", "greatest_other_mb")
            print(f"| {work} | {way} | {' | '.join(f'{result[name]:,}' for name in shown)} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    other = [work for work in asked.only if len({one["digest"] for one in found if one["work"] == work}) > 1]
    print(f"\n{'other results in: ' + ', '.join(other) if other else 'the same results in all ways'}")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
