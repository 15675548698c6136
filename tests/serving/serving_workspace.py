"""A small workspace with a bundle, written by hand: users, items of every kind of field, random vectors and weights."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from llactr.ctr import Bundle, CTRModel, EnhancementConfig, ModelConfig
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.store import REPOSITORY, apply, materialize, release, training_rows, write_field_vectors
from llactr.transforms import Transform, chronological_split
from llactr.workspace import Workspace
from tests import specs

TIMESTAMP = pa.timestamp("us", "UTC")
START = datetime(2024, 1, 2, tzinfo=UTC)
USERS, ITEMS, EVENTS = 40, 300, 2000
DATASET = "shop"
REDIS_CONFIG = REPOSITORY / "feature_store.redis.yaml"
CLUSTER_CONFIG = REPOSITORY / "feature_store.redis-cluster.yaml"

FIELDS: list[dict[str, Any]] = [
    {"name": "user_id", "description": "who it is", "owner": "user", "kind": "categorical"},
    {"name": "age", "description": "age in years", "owner": "user", "kind": "numeric", "bucket_count": 5},
    {"name": "occupation", "description": "what the person does", "owner": "user", "kind": "categorical"},
    {"name": "item_id", "description": "which thing it is", "owner": "item", "kind": "categorical"},
    {"name": "title", "description": "the thing's title", "owner": "item", "kind": "categorical", "min_count": 2},
    {"name": "genres", "description": "its genres", "owner": "item", "kind": "multi_valued", "separator": "|", "max_values": 3},
    {"name": "price", "description": "what it costs", "owner": "item", "kind": "numeric", "buckets": "log"},
    {"name": "listed", "description": "the month of listing", "owner": "item", "kind": "timestamp_part", "part": "month"},
    {"name": "hour", "description": "hour of the day", "owner": "context", "kind": "timestamp_part", "part": "hour"},
    {"name": "Device (type)", "description": "the device", "owner": "context", "kind": "categorical"},
    {"name": "seconds", "description": "seconds on the page", "owner": "context", "kind": "numeric", "bucket_count": 4},
]  # fmt: skip


def spec_of(fields: list[dict[str, Any]] | None = None, *, name: str = DATASET) -> DatasetSpec:
    keys, tables = {"user": "user_id", "item": "item_id"}, {"user": "users", "item": "items"}
    return specs.spec_of(*(fields or FIELDS), name=name, keys=keys, tables=tables)


def write_table(workspace: Workspace, dataset: str, table: str, columns: dict[str, Any], *, part: int = 0) -> None:
    folder = workspace.offline_table(dataset, table)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"part-{part:05d}.parquet")


def users_table(count: int = USERS, *, seed: int = 1, when: datetime = START - timedelta(days=1)) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    ages = [None if u % 7 == 0 else float(random.integers(18, 70)) for u in range(count)]
    jobs = ["writer", "Ärztin", "", "it's; DROP TABLE", None]
    return {
        "user_id": pa.array([f"u{u}" for u in range(count)]),
        "age": pa.array(ages, pa.float64()),
        "occupation": pa.array([jobs[u % len(jobs)] for u in range(count)], pa.string()),
        "event_timestamp": pa.array([when] * count, TIMESTAMP),
        "created_timestamp": pa.array([when] * count, TIMESTAMP),
    }


def items_table(count: int = ITEMS, *, seed: int = 2, when: datetime = START - timedelta(days=1)) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    genres = ["a", "b", "c|a", "a|b|c|d", "", None]
    listed = [
        None if i % 11 == 0 else datetime(1965 + i % 60, 1 + i % 12, 3, 4, 5, 6, 7, tzinfo=UTC) for i in range(count)
    ]
    return {
        "item_id": pa.array([str(i) for i in range(count)]),
        "title": pa.array([f"title {i // 2}" for i in range(count)]),
        "genres": pa.array([genres[int(g)] for g in random.integers(0, len(genres), count)], pa.string()),
        "price": pa.array([None if i % 13 == 0 else float(i) * 1.5 for i in range(count)], pa.float64()),
        "listed": pa.array(listed, TIMESTAMP),
        "event_timestamp": pa.array([when] * count, TIMESTAMP),
        "created_timestamp": pa.array([when] * count, TIMESTAMP),
    }


def events_columns(*, seed: int = 3) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "user_id": pa.array([f"u{u}" for u in random.integers(0, USERS + 2, EVENTS)]),
        "item_id": pa.array([str(i) for i in random.integers(0, ITEMS + 5, EVENTS)]),
        "event_timestamp": pa.array([START + timedelta(minutes=17 * e) for e in range(EVENTS)], TIMESTAMP),
        "label": pa.array(random.integers(0, 2, EVENTS), pa.float32()),
        "Device (type)": pa.array([["tv", "phone", None][e % 3] for e in range(EVENTS)], pa.string()),
        "seconds": pa.array([None if e % 5 == 0 else float(e % 50) for e in range(EVENTS)], pa.float64()),
    }


def vectors_for(spec: DatasetSpec, version: str, *, seed: int = 0, dim: int = 8) -> FieldVectors:
    raw = np.random.default_rng(seed).normal(size=(len(spec.fields), dim)).astype(np.float32)
    return FieldVectors(
        dataset=spec.name,
        version=version,
        encoder="test-encoder",
        fields=spec.field_names,
        descriptions=tuple(field.description for field in spec.fields),
        vectors=raw / np.linalg.norm(raw, axis=1, keepdims=True),
    )


def write_offline(root: Path) -> tuple[Workspace, DatasetSpec]:
    workspace, spec = Workspace.at(root), spec_of()
    folder = workspace.dataset(spec.name)
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
    (folder / "manifest.json").write_text(json.dumps({"start": START.isoformat(), "end": START.isoformat()}))
    write_table(workspace, spec.name, "user", users_table())
    write_table(workspace, spec.name, "item", items_table())
    write_table(workspace, spec.name, "events", events_columns())
    return workspace, spec


def release_version(workspace: Workspace, spec: DatasetSpec, version: str, *, seed: int) -> FieldVectors:
    vectors = vectors_for(spec, version, seed=seed)
    write_field_vectors(workspace, vectors)
    release(workspace, spec.name, version)
    return vectors


def add_bundle(
    workspace: Workspace,
    spec: DatasetSpec,
    rows: pa.Table,
    vectors: FieldVectors,
    name: str,
    *,
    seed: int,
    enhanced: bool = True,
) -> Path:
    """A bundle with random weights, large enough to make scores differ."""
    transform = Transform.fit(spec, rows.slice(0, len(chronological_split(rows.num_rows, spec.split).train)))
    config = ModelConfig(
        backbone="deepfm",
        embedding_dim=8,
        init_std=0.5,
        enhancement=EnhancementConfig() if enhanced else None,  # type: ignore[call-arg]
    )
    import torch

    model = CTRModel(config, transform.layout, torch.from_numpy(vectors.vectors)[None] if enhanced else None, seed=seed)
    bundle = Bundle.of(model, spec=spec, transform=transform, vectors=vectors, metrics={"test": {"auc": 0.5}})
    folder = workspace.artifact("bundles", name)
    with workspace.writing(folder) as draft:
        bundle.save(draft)
    return folder


def build(root: Path, *, feast_config: Path | None = None) -> Workspace:
    """The workspace, applied, materialized, with the bundles `first` (current), `second` and `plain`."""
    workspace, spec = write_offline(root)
    vectors = release_version(workspace, spec, "v-one", seed=5)
    apply(workspace, config=feast_config)
    materialize(workspace, config=feast_config)
    rows = training_rows(workspace, spec, config=feast_config)
    first = add_bundle(workspace, spec, rows, vectors, "first", seed=1)
    add_bundle(workspace, spec, rows, vectors, "second", seed=2)
    add_bundle(workspace, spec, rows, vectors, "plain", seed=3, enhanced=False)
    workspace.set_current(spec.name, "train", first)
    return workspace
