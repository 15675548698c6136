"""Feast's own example repository, small: hourly statistics of five drivers, and trips that they were offered."""

from __future__ import annotations

import contextlib
import runpy
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, OnDemandFeatureView
from feast.repo_config import load_repo_config
from feast.repo_operations import apply_total

START = datetime(2026, 1, 1, tzinfo=UTC)
TTL = timedelta(hours=4)
DRIVERS = (1001, 1002, 1003, 1004, 1005)
HOURS = 72

FEATURE_STORE = """\
project: drivers
provider: local
registry: data/registry.db
online_store:
  type: sqlite
  path: data/online_store.db
entity_key_serialization_version: 3
"""

DEFINITIONS = """\
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)

driver_stats_source = FileSource(
    name="driver_hourly_stats_source",
    path="data/driver_stats.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)

driver_stats_fv = FeatureView(
    name="driver_hourly_stats",
    entities=[driver],
    ttl=timedelta(hours=4),
    schema=[
        Field(name="conv_rate", dtype=Float32),
        Field(name="acc_rate", dtype=Float32),
        Field(name="avg_daily_trips", dtype=Int64, description="Average daily trips"),
        Field(name="home", dtype=String),
    ],
    online=True,
    source=driver_stats_source,
    tags={"team": "driver_performance"},
)

input_request = RequestSource(
    name="vals_to_add",
    schema=[Field(name="val_to_add", dtype=Int64), Field(name="val_to_add_2", dtype=Int64)],
)


@on_demand_feature_view(
    sources=[driver_stats_fv, input_request],
    schema=[Field(name="conv_rate_plus_val1", dtype=Float64), Field(name="conv_rate_plus_val2", dtype=Float64)],
)
def transformed_conv_rate(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["conv_rate_plus_val1"] = inputs["conv_rate"] + inputs["val_to_add"]
    df["conv_rate_plus_val2"] = inputs["conv_rate"] + inputs["val_to_add_2"]
    return df
"""

SPEC = """\
name: trips
sources:
  trips: {path: trips.parquet, format: parquet}
events: trips
timestamp: {column: offered_at}
label: {column: taken}
entities:
  driver: {join_key: driver, repository_key: driver_id}
feast:
  repository: repo
fields:
- {name: driver, kind: categorical, owner: driver, description: which driver was offered the trip}
- {name: conversion, kind: numeric, owner: driver, feature: 'driver_hourly_stats:conv_rate', bucket_count: 4,
   description: which share of offered trips the driver turned into rides}
- {name: daily_trips, kind: numeric, owner: driver, feature: 'driver_hourly_stats:avg_daily_trips', bucket_count: 4,
   description: how many trips a day the driver makes on average}
- {name: home, kind: categorical, owner: driver, feature: 'driver_hourly_stats:home',
   description: the town where the driver lives}
- {name: val_to_add, kind: numeric, owner: context, bucket_count: 2, description: what the fare is raised by}
- {name: val_to_add_2, kind: numeric, owner: context, bucket_count: 2, description: what the fare is raised by at night}
- {name: raised_conversion, kind: numeric, owner: driver, feature: 'transformed_conv_rate:conv_rate_plus_val1',
   bucket_count: 4, description: the share of rides with what the fare is raised by}
- {name: hour, kind: timestamp_part, part: hour, owner: context, description: the hour of the day in which it was offered}
"""


def statistics(start: datetime = START) -> pd.DataFrame:
    """A row an hour and driver; driver 1005 stops after a day, so that its values expire."""
    rng = np.random.default_rng(7)
    rows = [
        {
            "driver_id": driver,
            "event_timestamp": start + timedelta(hours=hour),
            "created": start + timedelta(hours=hour, minutes=1),
            "conv_rate": np.float32(rng.random()),
            "acc_rate": np.float32(rng.random()),
            "avg_daily_trips": int(rng.integers(1, 900)),
            "home": ["Graz", "Linz", "Wien"][(driver + hour // 24) % 3],
        }
        for driver in DRIVERS
        for hour in range(HOURS if driver != 1005 else 24)
    ]
    return pd.DataFrame(rows)


def trips(count: int = 900, start: datetime = START) -> pd.DataFrame:
    """Offers at any minute of the three days, to the drivers and to 1009, of whom nothing is known."""
    rng = np.random.default_rng(3)
    minutes = np.sort(rng.integers(60, HOURS * 60, count))
    drivers = rng.choice([*DRIVERS, 1009], count)
    return pd.DataFrame(
        {
            "driver": drivers,
            "offered_at": [start + timedelta(minutes=int(minute)) for minute in minutes],
            "val_to_add": rng.integers(0, 5, count),
            "val_to_add_2": rng.integers(0, 5, count),
            "taken": (rng.random(count) < np.where(drivers % 2 == 1, 0.7, 0.3)).astype(np.int64),
        }
    )


def write_repository(folder: Path, *, start: datetime = START) -> Path:
    """The repository `repo`, its data, the trips and the spec, in a folder; gives the repository's."""
    repo = folder / "repo"
    (repo / "data").mkdir(parents=True)
    (repo / "feature_store.yaml").write_text(FEATURE_STORE, encoding="utf-8")
    (repo / "example_repo.py").write_text(DEFINITIONS, encoding="utf-8")
    statistics(start).to_parquet(repo / "data" / "driver_stats.parquet")
    trips(start=start).to_parquet(folder / "trips.parquet")
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    return repo


def feast_apply(repo: Path) -> None:
    """What the command `feast apply` calls, in this process: the repository's Python files are imported and applied."""
    for name in ("example_repo", "llactr_views", "llactr.feature_repo.views"):
        sys.modules.pop(name, None)
    before = list(sys.path)
    sys.path.append(str(repo))
    try:
        with contextlib.chdir(repo), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Feast's, about on-demand views
            apply_total(load_repo_config(repo, repo / "feature_store.yaml"), repo, skip_source_validation=False)
    finally:
        sys.path[:] = before
        for name in ("example_repo", "llactr_views"):
            sys.modules.pop(name, None)


def applied(repo: Path) -> FeatureStore:
    """What `feast apply` does, in this process; gives the repository's store."""
    found = runpy.run_path(str(repo / "example_repo.py"))
    kinds = (Entity, FeatureView, OnDemandFeatureView)
    store = FeatureStore(repo_path=str(repo))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Feast's, about on-demand views
        store.apply([thing for thing in found.values() if isinstance(thing, kinds)])
    return store


def newest(
    rows: list[dict[str, Any]], moment: datetime, *, ttl: timedelta | None, **key: object
) -> dict[str, Any] | None:
    """By a plain loop: of a key's rows up to a moment the newest, unless it is past its ttl."""
    best = None
    for row in rows:
        mine = all(row[name] == value for name, value in key.items())
        if (
            mine
            and row["event_timestamp"] <= moment
            and (best is None or row["event_timestamp"] > best["event_timestamp"])
        ):
            best = row
    if best is not None and ttl is not None and best["event_timestamp"] < moment - ttl:
        return None
    return best
