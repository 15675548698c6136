"""A repository of three entities, a view of two of them, an on-demand view in Python, and an offline store of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 6
DEMAND_TTL, PAIR_TTL = timedelta(hours=2), timedelta(days=2)

FEATURE_STORE = """\
project: rides
provider: local
registry:
  path: data/registry.db
offline_store:
  type: rides_store.CountingOfflineStore
  log: data/joins.txt
online_store:
  type: sqlite
  path: data/online_store.db
entity_key_serialization_version: 3
"""

OFFLINE_STORE = '''\
"""Feast's DuckDB store, which notes each join."""

from pathlib import Path

from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig


class CountingOfflineStoreConfig(DuckDBOfflineStoreConfig):
    type: str = "rides_store.CountingOfflineStore"
    log: str = "joins.txt"


class CountingOfflineStore(DuckDBOfflineStore):
    @staticmethod
    def get_historical_features(config, feature_views, feature_refs, entity_df, registry, project, *rest, **more):
        with open(Path(config.repo_path) / config.offline_store.log, "a") as log:
            log.write(f"{feature_refs[0]} {len(entity_df)}\\n")
        return DuckDBOfflineStore.get_historical_features(
            config, feature_views, feature_refs, entity_df, registry, project, *rest, **more
        )
'''

DEFINITIONS = """\
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int32, Int64, String, UnixTimestamp

rider = Entity(name="rider", join_keys=["rider_id"], value_type=ValueType.STRING)
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
zone = Entity(name="zone", join_keys=["zone_id"], value_type=ValueType.INT32)


def source(name):
    return FileSource(name=name, path=f"data/{name}.parquet", timestamp_field="event_timestamp")


rider_profile = FeatureView(
    name="rider_profile", entities=[rider], ttl=timedelta(0), source=source("riders"),
    schema=[
        Field(name="rider_id", dtype=String), Field(name="plan", dtype=String), Field(name="likes", dtype=Array(String)),
        Field(name="joined", dtype=UnixTimestamp), Field(name="verified", dtype=Bool),
    ],
)
driver_stats = FeatureView(
    name="driver_stats", entities=[driver], ttl=timedelta(0), source=source("drivers"),
    schema=[Field(name="driver_id", dtype=Int64), Field(name="rides", dtype=Int64), Field(name="car", dtype=Int32)],
)
pair_stats = FeatureView(
    name="pair_stats", entities=[rider, driver], ttl=timedelta(days=2), source=source("pairs"),
    schema=[
        Field(name="rider_id", dtype=String), Field(name="driver_id", dtype=Int64), Field(name="together", dtype=Int64),
    ],
)
zone_demand = FeatureView(
    name="zone_demand", entities=[zone], ttl=timedelta(hours=2), source=source("zones"),
    schema=[Field(name="zone_id", dtype=Int32), Field(name="waiting", dtype=Float64)],
)
fare = RequestSource(name="fare", schema=[Field(name="fare", dtype=Float64)])


@on_demand_feature_view(
    sources=[zone_demand, pair_stats, fare], mode="python",
    schema=[Field(name="surged", dtype=Float64), Field(name="known", dtype=String)],
)
def surge(inputs):
    return {
        "surged": [
            None if waiting is None or fare is None else fare * (1 + waiting / 10)
            for waiting, fare in zip(inputs["waiting"], inputs["fare"])
        ],
        "known": ["no" if together is None else "yes" for together in inputs["together"]],
    }
"""

SPEC = """\
name: rides
sources:
  rides: {path: rides.csv, format: csv}
events: rides
timestamp: {column: at}
label: {column: accepted}
entities:
  user: {join_key: who, repository_key: rider_id}
  driver: {join_key: driver_id}
  last: {join_key: last_driver, repository_key: driver_id}
  zone: {join_key: zone_id}
feast: {repository: repo/feature_store.yaml}
fields:
- {name: who, kind: categorical, owner: user, description: which rider it is}
- {name: plan, kind: categorical, owner: user, feature: 'rider_profile:plan', description: the plan the rider pays for}
- {name: likes, kind: multi_valued, separator: '|', owner: user, feature: 'rider_profile:likes', description: what music the rider likes}
- {name: joined, kind: timestamp_part, part: month, owner: user, feature: 'rider_profile:joined', description: the month of joining}
- {name: verified, kind: categorical, owner: user, feature: 'rider_profile:verified', description: whether the rider is verified}
- {name: rides, kind: numeric, bucket_count: 4, owner: driver, feature: 'driver_stats:rides', description: rides of the driver so far}
- {name: last_rides, kind: numeric, bucket_count: 4, owner: last, feature: 'driver_stats:rides', description: rides of the driver of last time}
- {name: car, kind: categorical, owner: driver, feature: 'driver_stats:car', description: the model of the car}
- {name: together, kind: numeric, bucket_count: 3, owner: driver, feature: 'pair_stats:together', description: rides of these two together}
- {name: surged, kind: numeric, bucket_count: 4, owner: context, feature: 'surge:surged', keys: {driver_id: driver}, description: the fare after the surge}
- {name: known, kind: categorical, owner: context, feature: 'surge:known', keys: {driver_id: driver}, description: whether the two rode before}
- {name: fare, kind: numeric, bucket_count: 4, owner: context, description: the fare of the ride}
"""

RIDERS = ("r1", "r2", "0007", "r4")
DRIVERS = (11, 12, 13, 9_000_000_000_000_000_001)
ZONES = (1, 2, 3)


def tables() -> dict[str, list[dict[str, Any]]]:
    """The rows of the four sources."""
    rng = np.random.default_rng(5)
    likes = (["jazz", "pop"], ["rock"], [], ["pop", "folk", "jazz"])

    def at(hours: float) -> datetime:
        return START + timedelta(hours=hours)

    return {
        "riders": [
            {
                "rider_id": rider, "plan": ("basic", "gold")[(number + step) % 2], "likes": likes[(number + step) % 4],
                "joined": datetime(2020 + number, 1 + 3 * number, 5, 6, 7, 8, tzinfo=UTC), "verified": number % 2 == 0,
                "event_timestamp": at(-30 + 40 * step),
            }
            for number, rider in enumerate(RIDERS[:3]) for step in range(3)
        ],
        "drivers": [
            {"driver_id": driver, "rides": int(rng.integers(0, 90)), "car": int(rng.integers(1, 4)), "event_timestamp": at(9 * step)}
            for driver in DRIVERS for step in range(12)
        ],
        "pairs": [
            {"rider_id": rider, "driver_id": driver, "together": step + number, "event_timestamp": at(60 * step + number)}
            for number, (rider, driver) in enumerate((r, d) for r in RIDERS[:2] for d in DRIVERS[1:]) for step in range(2)
        ],
        "zones": [
            {"zone_id": zone, "waiting": float(rng.integers(0, 20)), "event_timestamp": at(3 * step)}
            for zone in ZONES for step in range(DAYS * 8)
        ],
    }  # fmt: skip


def events(count: int = 700) -> pd.DataFrame:
    """Rides offered; keys are also such as nothing is known of."""
    rng = np.random.default_rng(11)
    minutes = np.sort(rng.integers(0, DAYS * 24 * 60, count))
    return pd.DataFrame(
        {
            "who": rng.choice(RIDERS, count),
            "driver_id": rng.choice([*map(str, DRIVERS), "77"], count),
            "last_driver": rng.choice([*map(str, DRIVERS), "none"], count),
            "zone_id": rng.choice([1, 2, 3, 4], count),
            "at": [(START + timedelta(minutes=int(minute))).isoformat() for minute in minutes],
            "fare": rng.integers(5, 40, count) / 2,
            "accepted": rng.integers(0, 2, count),
        }
    )


def write_repository(folder: Path) -> Path:
    """The repository `repo`, its data, the events and the spec, in a folder; gives the repository's."""
    repo = folder / "repo"
    (repo / "data").mkdir(parents=True)
    for name, text in (
        ("feature_store.yaml", FEATURE_STORE), ("rides_store.py", OFFLINE_STORE), ("example_repo.py", DEFINITIONS)
    ):  # fmt: skip
        (repo / name).write_text(text, encoding="utf-8")
    for name, rows in tables().items():
        table = pd.DataFrame(rows)
        if "car" in table:
            table["car"] = table["car"].astype("int32")
        if "zone_id" in table:
            table["zone_id"] = table["zone_id"].astype("int32")
        table.to_parquet(repo / "data" / f"{name}.parquet")
    events().to_csv(folder / "rides.csv", index=False)
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    return repo
