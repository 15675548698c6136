"""What reading a Feast repository of one's own costs: 200 keys of five features online, and point-in-time joins.

Run: python -m benchmarks.own_feast [--drivers 5000] [--events 100000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.store.feast.lean import lean_feast

lean_feast()

from feast import Entity, FeatureStore, FeatureView, FileSource, ValueType  # noqa: E402
from feast import Field as Feature  # noqa: E402
from feast.types import Float32, Int64, String  # noqa: E402

from llactr.spec import DatasetSpec  # noqa: E402
from llactr.store.feast.open import open_repository_file  # noqa: E402
from llactr.store.repository.features import RepositoryFeatures  # noqa: E402

HOURS = 24
NAMES = ("conv_rate", "acc_rate", "cancel_rate", "daily_trips", "home")


def main() -> None:
    """Prints CPU milliseconds per read, and joined rows per CPU-second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drivers", type=int, default=5000)
    parser.add_argument("--events", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repo = Path(folder)
        end = write(repo, asked.drivers)
        spec = DatasetSpec.model_validate(SPEC)
        for kind in ("file", "duckdb"):
            configure(repo, kind)
            theirs = FeatureStore(repo_path=str(repo))
            if kind == "file":
                theirs.apply(definitions(repo))
                theirs.materialize(end - timedelta(hours=HOURS), end)
                online(repo, theirs, spec, asked.drivers)
            features = RepositoryFeatures(spec, open_repository_file(repo / "feature_store.yaml"))
            rows = events(asked.events, asked.drivers, end)
            features.as_of(rows.slice(0, 100))
            spent, _ = cpu(lambda features=features, rows=rows: features.as_of(rows))
            print(f"offline store {kind}: {asked.events / spent:,.0f} rows joined per CPU-second ({spent:.2f} s)")


def online(repo: Path, theirs: FeatureStore, spec: DatasetSpec, drivers: int) -> None:
    """200 keys, five features, by llactr and by Feast's own call."""
    features = RepositoryFeatures(spec, open_repository_file(repo / "feature_store.yaml"))
    keys = np.random.default_rng(0).integers(0, drivers, 200)
    now = pa.array([datetime.now(UTC)] * 200, pa.timestamp("us", "UTC"))
    rows = pa.table({"driver": pa.array([str(key) for key in keys]), "event_timestamp": now})
    refs = [f"stats:{name}" for name in NAMES]
    asked = [{"driver_id": int(key)} for key in keys]
    for name, read in (
        ("llactr reads, with raw values", lambda: features.current(rows)),
        ("get_online_features().to_dict()", lambda: theirs.get_online_features(refs, asked).to_dict()),
    ):
        read()
        spent, times = cpu(read, repeats=50)
        print(f"{name}: {1000 * spent / times:.1f} ms of CPU for 200 keys of 5 features")


def cpu(work: Callable[[], object], *, repeats: int = 1) -> tuple[float, int]:
    """CPU seconds of all calls."""
    began = time.process_time()
    for _ in range(repeats):
        work()
    return time.process_time() - began, repeats


def configure(repo: Path, offline: str) -> None:
    """The repository's settings."""
    (repo / "feature_store.yaml").write_text(
        "project: drivers\nprovider: local\nregistry: data/registry.db\n"
        f"offline_store: {{type: {offline}}}\nonline_store: {{type: sqlite, path: data/online.db}}\n"
        "entity_key_serialization_version: 3\n",
        encoding="utf-8",
    )


def write(repo: Path, drivers: int) -> datetime:
    """Statistics of each driver and hour; gives the end of them."""
    (repo / "data").mkdir()
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rng = np.random.default_rng(1)
    count = drivers * HOURS
    hours = np.repeat(np.arange(HOURS), drivers)
    times = [end - timedelta(hours=int(HOURS - hour)) for hour in range(HOURS)]
    table = pa.table(
        {
            "driver_id": np.tile(np.arange(drivers), HOURS),
            "event_timestamp": pa.array(times, pa.timestamp("us", "UTC")).take(pa.array(hours)),
            **{name: rng.random(count).astype(np.float32) for name in NAMES[:3]},
            "daily_trips": rng.integers(0, 900, count),
            "home": pa.array(["Graz", "Linz", "Wien"]).take(pa.array(rng.integers(0, 3, count))),
        }
    )
    pq.write_table(table, repo / "data" / "stats.parquet")
    return end


def definitions(repo: Path) -> list[Entity | FeatureView]:
    """One view of drivers."""
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    types = (Float32, Float32, Float32, Int64, String)
    view = FeatureView(
        name="stats",
        entities=[driver],
        ttl=timedelta(days=2),
        schema=[Feature(name=name, dtype=kind) for name, kind in zip(NAMES, types, strict=True)],
        source=FileSource(name="stats", path=str(repo / "data" / "stats.parquet"), timestamp_field="event_timestamp"),
    )
    return [driver, view]


def events(count: int, drivers: int, end: datetime) -> pa.Table:
    """Events at any second of the hours."""
    rng = np.random.default_rng(2)
    seconds = np.sort(rng.integers(0, HOURS * 3600, count))
    start = np.datetime64((end - timedelta(hours=HOURS)).replace(tzinfo=None), "us")
    return pa.table(
        {
            "driver": pa.array([str(key) for key in rng.integers(0, drivers, count)]),
            "event_timestamp": pa.array(start + seconds.astype("timedelta64[s]")).cast(pa.timestamp("us", "UTC")),
        }
    )


SPEC = {
    "name": "trips",
    "sources": {"trips": {"path": "trips.parquet", "format": "parquet"}},
    "events": "trips",
    "timestamp": {"column": "at"},
    "label": {"column": "taken"},
    "entities": {"driver": {"join_key": "driver", "repository_key": "driver_id"}},
    "feast": {"repository": "."},
    "fields": [
        {
            "name": name,
            "description": f"{name} of the driver",
            "owner": "driver",
            "kind": "categorical" if name == "home" else "numeric",
            "feature": f"stats:{name}",
        }
        for name in NAMES
    ],
}

if __name__ == "__main__":
    main()
