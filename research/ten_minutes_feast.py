"""How long it takes from a Feast repository of one's own to a service that is ready, with nobody asked.

    python -m research.ten_minutes_feast --cache DIR [--trips 20000]

The repository is Feast's own example (`feast init`: hourly statistics of five drivers, an on-demand view), the events
are made-up offers of trips, taken the more likely the better the driver's rate of the hour. In an empty folder: `feast
apply` and `feast materialize-incremental` as its owner would, then `llactr init --feast --yes`, `llactr run` with its
defaults, `llactr serve` until `/readyz` says yes. Printed as by `research.ten_minutes`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from research.ten_minutes import HEAD, cpu_seconds, llactr, seconds_to_ready

_REPO = "drivers"


def feast(at: Path, *arguments: str) -> None:
    """Runs Feast's own command in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "feast.cli.cli", *arguments], cwd=at, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"feast {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def write_trips(repo: Path, path: Path, count: int) -> None:
    """Offers at random moments of the statistics' days, of which a driver takes the more the higher `conv_rate` is."""
    known = pd.read_parquet(repo / "data" / "driver_stats.parquet").sort_values("event_timestamp")
    draw = np.random.default_rng(3)
    times = pd.to_datetime(known["event_timestamp"], utc=True)
    last = times.max().floor("h")
    trips = pd.DataFrame(
        {
            "driver_id": draw.choice(known["driver_id"].unique(), count),
            "event_timestamp": [last - timedelta(minutes=int(one)) for one in draw.integers(0, 10 * 1440, count)],
            "val_to_add": draw.integers(0, 5, count),
            "val_to_add_2": draw.integers(0, 5, count),
        }
    ).sort_values("event_timestamp")
    trips["event_timestamp"] = pd.to_datetime(trips["event_timestamp"], utc=True).astype("datetime64[us, UTC]")
    of_hour = known.assign(event_timestamp=times.astype("datetime64[us, UTC]"))
    rates = pd.merge_asof(
        trips, of_hour[["driver_id", "event_timestamp", "conv_rate"]], on="event_timestamp", by="driver_id"
    )
    chance = 1 / (1 + np.exp(-4 * (rates["conv_rate"].fillna(0.5).to_numpy() - 0.5)))
    trips["taken"] = (draw.random(count) < chance).astype(np.int64)
    trips.rename(columns={"event_timestamp": "offered_at"}).to_parquet(path, index=False)


def main() -> None:
    """Reads the command line, prints the line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--trips", type=int, default=20_000)
    options = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    at = (options.cache / "ten_minutes_feast").absolute()
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir(parents=True)
    feast(at, "init", _REPO)
    repo = at / _REPO / "feature_repo"
    write_trips(repo, at / "trips.parquet", options.trips)
    feast(repo, "apply")
    now = pd.Timestamp.now(tz="UTC").strftime("%Y-%m-%dT%H:%M:%S")
    feast(repo, "materialize-incremental", now)
    before = cpu_seconds()
    began = time.perf_counter()
    made = ("--feast", repo, at / "trips.parquet", "--out", at / "trips.yaml", "--label", "taken", "--yes")
    drafted, init_s = llactr("init", *made)
    print(f"fields: {', '.join(drafted['kinds'])}; findings: {drafted['findings'] or 'none'}", flush=True)
    ran, run_s = llactr("run", at / "trips.yaml", "--workspace", at / "workspace")
    serve_s = seconds_to_ready(at / "workspace")
    trained = next(step["result"] for step in ran["steps"] if step["step"] == "train")
    minutes = [f"{seconds / 60:.1f}" for seconds in (init_s, run_s, serve_s, time.perf_counter() - began)]
    auc = trained["metrics"]["test"]["auc"]
    print(HEAD)
    print(
        f"| Feast's drivers, {options.trips:,} trips | {' | '.join(minutes)} | {(cpu_seconds() - before) / 60:.1f} | "
        f"{trained['backbone']} {ran['served']} | {auc:.4f} |"
    )


if __name__ == "__main__":
    main()
