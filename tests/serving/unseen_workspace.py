"""The small workspace with value vectors: a bundle that knows them, and vectors of some values that it never saw."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import yaml

from llactr.ctr import Bundle, CTRModel, ModelConfig, TrainingSet, ValuesConfig, ValueTables
from llactr.spec import DatasetSpec
from llactr.store import apply, materialize, read_field_vectors, training_rows, write_value_vectors
from llactr.store.value_vectors import read_value_vectors
from llactr.workspace import Workspace
from tests.serving.serving_workspace import (
    FIELDS,
    START,
    TIMESTAMP,
    events_columns,
    items_table,
    release_version,
    spec_of,
    users_table,
    write_table,
)

VALUES_VERSION = "0123456789abcdef"
DIM = 6
TEXTS: dict[str, Any] = {"item_id": ["title", "genres"], "title": True, "genres": True, "Device (type)": True}
NEW_ITEMS = ("new-1", "new-2", "new-3")
"""In the item table, not in the events; the first two get vectors."""


def unseen_spec() -> DatasetSpec:
    fields = [{**one, **({"value_text": TEXTS[one["name"]]} if one["name"] in TEXTS else {})} for one in FIELDS]
    return spec_of(fields)


def vector_of(field: str, value: str) -> np.ndarray:
    """A value's vector: the same on any machine, another for every value."""
    seed = [ord(letter) for letter in f"{field}\n{value}"]
    drawn = np.random.default_rng(seed).standard_normal(DIM)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def write_vectors(workspace: Workspace, keys: list[tuple[str, str]]) -> None:
    vectors = np.stack([vector_of(*key) for key in keys])
    texts = [f"{field}: {value}" for field, value in keys]
    write_value_vectors(workspace, "shop", VALUES_VERSION, encoder="test", keys=keys, texts=texts, vectors=vectors)


def add_new_items(workspace: Workspace) -> None:
    when = START - timedelta(days=1)
    columns = {
        "item_id": pa.array(NEW_ITEMS),
        "title": pa.array(["brand new", "title 5", "title 6"]),
        "genres": pa.array(["a|q", "b", "c|a"]),
        "price": pa.array([12.0] * 3, pa.float64()),
        "listed": pa.array([when] * 3, TIMESTAMP),
        "event_timestamp": pa.array([when] * 3, TIMESTAMP),
        "created_timestamp": pa.array([when] * 3, TIMESTAMP),
    }
    write_table(workspace, "shop", "item", columns, part=5)


def build_unseen(root: Path, *, feast_config: Path | None = None) -> Workspace:
    """The workspace with the bundle `valued` (current); new items are there, their vectors are not."""
    workspace, spec = Workspace.at(root), unseen_spec()
    folder = workspace.dataset(spec.name)
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
    (folder / "manifest.json").write_text(json.dumps({"start": START.isoformat(), "end": START.isoformat()}))
    write_table(workspace, spec.name, "user", users_table())
    write_table(workspace, spec.name, "item", items_table())
    add_new_items(workspace)
    write_table(workspace, spec.name, "events", events_columns())
    release_version(workspace, spec, "v-one", seed=5)
    apply(workspace, config=feast_config)
    rows = training_rows(workspace, spec, config=feast_config)
    built = TrainingSet.build(
        spec,
        rows,
        lambda version: read_field_vectors(workspace, spec.name, version, spec.field_names, config=feast_config),
    )
    # Of the values that training rows hold all, of those that only later rows hold every other one.
    keys = [(name, value) for name in built.unseen for value in built.transform.values(name)]
    keys += [(name, value) for name, unseen in built.unseen.items() for value in unseen.values[::2]]
    write_vectors(workspace, keys)
    materialize(workspace, config=feast_config)
    vectors = read_value_vectors(workspace, spec, VALUES_VERSION, built.values_wanted(), config=feast_config)
    tables = ValueTables.fit(built.transform, vectors, ValuesConfig(rank=4, init_std=0.5), built.unseen)
    config = ModelConfig(backbone="deepfm", embedding_dim=8, init_std=0.5)  # type: ignore[call-arg]
    model = CTRModel(config, built.transform.layout, values=tables, seed=1)
    with torch.no_grad():
        for projection in model.embedding.linear_projections:  # type: ignore[union-attr]
            projection.normal_()
    bundle = Bundle.of(
        model, spec=spec, transform=built.transform, vectors=built.current_vectors, metrics={"test": {"auc": 0.5}}
    )
    place = workspace.artifact("bundles", "valued")
    with workspace.writing(place) as draft:
        bundle.save(draft)
    workspace.set_current(spec.name, "train", place)
    return workspace
