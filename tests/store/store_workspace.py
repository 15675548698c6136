"""A small workspace as ingest leaves it, written by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace
from tests import specs

TIMESTAMP = pa.timestamp("us", "UTC")
START = datetime(2024, 1, 2, tzinfo=UTC)  # first event at hour 0; static rows hold from a day before

JOINED = datetime(2020, 5, 1, 7, 30, 1, 250_000, tzinfo=UTC)
BEFORE_1970 = datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)  # rounded up it would be another day


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def categorical(name: str, owner: str, column: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"{name} of it",
        "owner": owner,
        "kind": "categorical",
        "source_column": column,
    }


def spec_of(fields: list[dict[str, Any]], *, name: str = "small", **entities: dict[str, Any]) -> DatasetSpec:
    keys, tables = {"user": "user_id", "item": "item_id"}, {"user": "users", "item": "items"}
    spec = specs.spec_of(*fields, name=name, keys=keys, tables=tables)
    if not entities:
        return spec
    content = spec.model_dump(mode="json")
    return DatasetSpec.model_validate(content | {"entities": content["entities"] | entities})


FIELDS = [
    categorical("user_id", "user"),
    {"name": "age", "description": "age of the user", "owner": "user", "kind": "numeric"},
    categorical("occupation", "user"),
    {"name": "joined", "description": "hour of joining", "owner": "user", "kind": "timestamp_part", "part": "hour"},
    categorical("title", "item"),
    {"name": "genres", "description": "genres of the item", "owner": "item", "kind": "multi_valued", "separator": "|"},
    {"name": "hour", "description": "hour of the event", "owner": "context", "kind": "timestamp_part", "part": "hour"},
    categorical("device", "context"),
]


@dataclass
class Offline:
    """Writes offline tables; every call adds a file."""

    workspace: Workspace
    spec: DatasetSpec
    files: int = field(default=0)

    def __post_init__(self) -> None:
        folder = self.workspace.dataset(self.spec.name)
        folder.mkdir(parents=True)
        (folder / "spec.yaml").write_text(yaml.safe_dump(self.spec.model_dump(mode="json"), sort_keys=False))
        (folder / "manifest.json").write_text(json.dumps({"start": at(0).isoformat(), "end": at(100).isoformat()}))

    def add(self, table: str, columns: dict[str, Any], types: dict[str, pa.DataType] | None = None) -> None:
        known = {"event_timestamp": TIMESTAMP, "created_timestamp": TIMESTAMP, "label": pa.float32()}
        kinds = {"numeric": pa.float64(), "timestamp_part": TIMESTAMP}
        known |= {f.name: kinds.get(f.kind, pa.string()) for f in self.spec.fields} | (types or {})
        arrays = {name: pa.array(values, known.get(name, pa.string())) for name, values in columns.items()}
        folder = self.workspace.offline_table(self.spec.name, table)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(arrays), folder / f"part-{self.files:05d}.parquet")
        self.files += 1


def small(root: Path, **change: Any) -> Offline:
    """Three users, two items, five events; user "u3" has nulls, user "u4" and item "i3" have no row."""
    offline = Offline(Workspace.at(root), spec_of(FIELDS, **change))
    before = at(-24)
    offline.add(
        "user",
        {
            "user_id": ["u1", "u2", "u3"],
            "age": [30.0, 41.5, None],
            "occupation": ["writer", "", None],
            "joined": [JOINED, BEFORE_1970, None],
            "event_timestamp": [before] * 3,
            "created_timestamp": [before] * 3,
        },
    )
    offline.add(
        "item",
        {
            "item_id": ["i1", "i2"],
            "title": ['Ünicode "quoted"', "Robert'); DROP TABLE items;--"],
            "genres": ["a|b", None],
            "event_timestamp": [before] * 2,
            "created_timestamp": [before] * 2,
        },
    )
    offline.add(
        "events",
        {
            "user_id": ["u1", "u2", "u1", "u4", "u3"],
            "item_id": ["i2", "i1", "i1", "i3", "i2"],
            "event_timestamp": [at(0), at(1), at(1), at(2), at(3)],
            "label": [1, 0, 1, 0, 1],
            "device": ["phone", None, "tv", "tv", ""],
        },
    )
    return offline


def vectors_for(spec: DatasetSpec, version: str, *, seed: int = 0, dim: int = 4) -> FieldVectors:
    raw = np.random.default_rng(seed).normal(size=(len(spec.fields), dim)).astype(np.float32)
    return FieldVectors(
        dataset=spec.name,
        version=version,
        encoder="test-encoder",
        fields=spec.field_names,
        descriptions=tuple(f.description for f in spec.fields),
        vectors=raw / np.linalg.norm(raw, axis=1, keepdims=True),
    )
