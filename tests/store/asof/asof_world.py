"""Small worlds for the ASOF store's tests: tables, views, both stores, and an oracle that knows nothing of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.types import Array, FeastType, Float32, Float64, Int64, String

from llactr.store.asof.offline_store import AsofDuckDBOfflineStore, AsofDuckDBOfflineStoreConfig

START = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
ASOF = "llactr.store.asof.AsofDuckDBOfflineStore"
NO_ON_DEMAND = SimpleNamespace(list_on_demand_feature_views=lambda *_, **__: [])


def at(hours: float | None) -> datetime | None:
    """A moment, by hours from the start of this world."""
    return None if hours is None else START + timedelta(hours=hours)


def entity(name: str, kind: ValueType = ValueType.STRING) -> Entity:
    return Entity(name=name, join_keys=[name], value_type=kind)


def view(
    name: str,
    path: Path | str,
    keys: Sequence[tuple[str, FeastType]],
    features: Sequence[tuple[str, FeastType]],
    *,
    ttl_hours: float = 0,
    created: bool = True,
    **more: Any,
) -> FeatureView:
    kinds = {String: ValueType.STRING, Int64: ValueType.INT64}
    return FeatureView(
        name=name,
        entities=[entity(key, kinds[kind]) for key, kind in keys],
        schema=[Field(name=field, dtype=kind) for field, kind in (*keys, *features)],
        ttl=timedelta(hours=ttl_hours),
        source=FileSource(
            name=f"{name}_source",
            path=str(path),
            timestamp_field="event_timestamp",
            created_timestamp_column="created" if created else "",
            **more,
        ),
    )


def write(path: Path, rows: Sequence[dict[str, Any]], schema: dict[str, pa.DataType]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(schema)), path)
    return path


USERS = {
    "user": pa.string(),
    "score": pa.float64(),
    "city": pa.string(),
    "vector": pa.list_(pa.float32()),
    "event_timestamp": TIME,
    "created": TIME,
}
USER_FEATURES = [("score", Float64), ("city", String), ("vector", Array(Float32))]


def user(
    key: str | None, hours: float, score: float | None, *, created: float | None = None, **more: Any
) -> dict[str, Any]:
    """A row of the users' table, created at its event time unless said otherwise."""
    row = {
        "user": key,
        "score": score,
        "event_timestamp": at(hours),
        "created": at(hours if created is None else created),
    }
    return {**row, **more}


def frame(rows: Sequence[tuple[Any, ...]], *columns: str) -> pd.DataFrame:
    """An entity frame: rows of (columns..., hours)."""
    made = pd.DataFrame([row[:-1] for row in rows], columns=list(columns))
    made["event_timestamp"] = pd.Series([at(row[-1]) for row in rows], dtype="datetime64[us, UTC]")
    made["row"] = range(len(rows))
    return made


def joined(
    views: Sequence[FeatureView],
    entities: pd.DataFrame | str | None,
    *,
    refs: Sequence[str] | None = None,
    stock: bool = False,
    full: bool = False,
    cut_off: bool = False,
    limits: dict[str, Any] | None = None,
    repo_path: Path | None = None,
    **span: Any,
) -> Any:
    """The retrieval job of either store, asked without a registry."""
    store: Any = DuckDBOfflineStore if stock else AsofDuckDBOfflineStore
    config = DuckDBOfflineStoreConfig() if stock else AsofDuckDBOfflineStoreConfig(**(limits or {}))
    asked = refs or [f"{v.projection.name_to_use()}:{feature.name}" for v in views for feature in v.features]
    return store.get_historical_features(
        config=SimpleNamespace(offline_store=config, repo_path=repo_path),
        feature_views=list(views),
        feature_refs=list(asked),
        entity_df=entities.copy() if isinstance(entities, pd.DataFrame) else entities,
        registry=NO_ON_DEMAND,
        project="p",
        full_feature_names=full,
        filter_by_created_timestamp=cut_off,
        **span,
    )


def feature_store(folder: Path, objects: Sequence[Any], **offline: Any) -> FeatureStore:
    """A store on a file registry, with the objects applied."""
    folder.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(
        project="p",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": ASOF, **offline},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    store.apply(list(objects))
    return store


def oracle(
    history: Sequence[dict[str, Any]],
    moment: datetime | None,
    keys: dict[str, Any],
    *,
    ttl_hours: float = 0,
    cut_off: bool = False,
) -> dict[str, Any] | None:
    """The row of `history` that an entity row sees, by looking at all of them. The last of equals is the one stored last."""
    if moment is None or None in keys.values():
        return None
    best, best_rank = None, None
    for place, row in enumerate(history):
        if any(row[name] != value for name, value in keys.items()) or row["event_timestamp"] is None:
            continue
        created = row.get("created")
        if row["event_timestamp"] > moment or (cut_off and (created is None or created > moment)):
            continue
        rank = (row["event_timestamp"], created is not None, created or START, place)
        if best_rank is None or rank > best_rank:
            best, best_rank = row, rank
    if best is not None and ttl_hours and best["event_timestamp"] + timedelta(hours=ttl_hours) < moment:
        return None
    return best
