"""The small workspace with a bundle that reads history, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llactr.ctr import Bundle, CTRModel, ModelConfig
from llactr.ctr.config import HistoryInputConfig
from llactr.history import HistoryDefinition, ItemVectors, key_hashes, with_neighbours
from llactr.spec import DatasetSpec, HistorySpec, TasteField, WindowField
from llactr.store import apply, events_table, materialize, training_rows
from llactr.store.history import events_of, write_states
from llactr.transforms import Transform
from llactr.workspace import Workspace
from tests.serving.serving_workspace import ITEMS, release_version, write_offline

KEYS = [str(i) for i in range(ITEMS + 5)]


def definition_of(workspace: Workspace, spec: DatasetSpec, *, delay: Any = 0, seed: int = 0) -> HistoryDefinition:
    """Windows, a regression, likenesses and item-item, on random vectors."""

    def window(owner: Any, measure: Any, **more: Any) -> WindowField:
        name = "_".join([owner, measure, *more])
        return WindowField(name=name, description="past", kind="window", owner=owner, measure=measure, **more)

    def taste(measure: Any, vectors: Any = "text") -> TasteField:
        name = f"taste_{measure}_{vectors}"
        return TasteField(name=name, description="taste", kind="taste", vectors=vectors, measure=measure)

    fields = (
        window("user", "count"), window("user", "rate"), window("item", "count"), window("item", "rate"),
        window("item", "clicks", last="7d"), window("user", "rate", half_life="2d"),
        taste("level"), taste("regression"), taste("similarity"), taste("nearest"), taste("similarity", "item_item"),
    )  # fmt: skip
    past = HistorySpec(outcome_delay=delay, last=20, fields=fields)
    hashes = key_hashes(KEYS)
    order = np.argsort(hashes)
    vectors = np.random.default_rng(seed).normal(size=(len(KEYS), 6)).astype(np.float32)
    made = HistoryDefinition(past, 0.5, {"text": ItemVectors(hashes[order], vectors[order])})
    events = events_of(spec, events_table(workspace, spec))
    return with_neighbours(made, events)


def add_history_bundle(
    workspace: Workspace,
    spec: DatasetSpec,
    definition: HistoryDefinition,
    vectors: Any,
    rows: Any,
    name: str,
    *,
    seed: int,
) -> Path:
    """A bundle with random weights that reads the definition's numbers."""
    import torch

    transform = Transform.fit(spec, rows)
    names = definition.spec.field_names
    config = ModelConfig(backbone="fm", embedding_dim=8, init_std=0.2, history=HistoryInputConfig(names=names))
    model = CTRModel(config, transform.layout, seed=seed)
    assert model.history is not None
    with torch.no_grad():
        torch.manual_seed(seed)
        model.history.weights.normal_(std=0.1)
    bundle = Bundle.of(
        model, spec=spec, transform=transform, vectors=vectors, metrics={"test": {"auc": 0.5}}, history=definition
    )
    folder = workspace.artifact("bundles", name)
    with workspace.writing(folder) as draft:
        bundle.save(draft)
    return folder


def build_history(root: Path, *, feast_config: Path | None = None, delay: Any = 0) -> Workspace:
    """The workspace, its states online, with the bundle `past` (current), and `other` of another history version."""
    workspace, spec = write_offline(root)
    vectors = release_version(workspace, spec, "v-one", seed=5)
    apply(workspace, config=feast_config)
    rows = training_rows(workspace, spec, config=feast_config)
    for name, seed in (("past", 0), ("other", 1)):
        definition = definition_of(workspace, spec, delay=delay, seed=seed)
        folder = add_history_bundle(workspace, spec, definition, vectors, rows, name, seed=seed)
        write_states(workspace, spec, definition)
        if name == "past":
            workspace.set_current(spec.name, "train", folder)
    apply(workspace, config=feast_config)
    materialize(workspace, config=feast_config)
    return workspace
