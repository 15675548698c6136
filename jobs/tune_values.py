"""`llactr finetune --objective colike`: tunes the encoder of values on what people liked in close succession."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.datasets import table_files
from llactr.errors import InputError
from llactr.jobs.config import ValueSemanticsConfig
from llactr.semantics import TuningProgress, colike_windows, load_encoder, tune_colike, value_texts
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import events_table
from llactr.store.ingested import dataset_hash, dataset_spec
from llactr.store.tables import read_files
from llactr.transforms import chronological_split
from llactr.workspace import Workspace

__all__ = ["can_tune", "describe", "item_text_field", "likes", "read_texts", "run"]


def run(job: Job, dataset: str, config: ValueSemanticsConfig) -> StepOutcome:
    """Tunes an adapter for a dataset's values on the likes of its training rows."""
    spec = dataset_spec(job.workspace, dataset)
    field = item_text_field(spec)

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 0, "loading the encoder")
        texts = read_texts(job.workspace, spec)[field]
        events = events_table(job.workspace, spec)
        training = events.slice(0, len(chronological_split(events.num_rows, spec.split).train))
        windows, items = likes(spec, training, texts, window=config.colike.window)
        encoder = load_encoder(config.encoder)

        def shown(state: TuningProgress) -> None:
            loss = f"loss {state.loss:.2f}" if state.loss is not None else f"measuring {state.phase}"
            advance(state.step, state.steps, loss)

        result = tune_colike(encoder, items, windows, config.colike, progress=shown)
        encoder.save_adapter(draft / "adapter")
        result.save(draft)
        advance(1, 1, f"loss on held-out windows {result.loss_before:.2f} -> {result.loss_after:.2f}")
        return result.to_json() | {"fingerprint": encoder.fingerprint, "model_config": config.encoder.model}

    return job.step(
        "tune_values",
        lambda key: job.workspace.artifact("adapters", f"{dataset}-colike-{key[:12]}"),
        dataset=dataset,
        config=config.model_dump(mode="json"),
        inputs={"dataset": dataset_hash(job.workspace, dataset)},
        work=work,
    )


def can_tune(spec: DatasetSpec) -> bool:
    """Whether there are users, and items with texts that they can like in succession."""
    return "user" in spec.entities and bool(_item_text_fields(spec))


def item_text_field(spec: DatasetSpec) -> str:
    """The field that reads the item's join key and has a text.

    Raises:
        InputError: there is none, or the spec has no users: nothing can be liked in succession.
    """
    if not can_tune(spec):
        raise InputError(
            f"collaborative tuning of {spec.name!r} needs users, and a value_text for the field that reads the item's "
            "join key: give them in the spec, or encode values without tuning"
        )
    return _item_text_fields(spec)[0]


def _item_text_fields(spec: DatasetSpec) -> list[str]:
    item = spec.entities.get("item")
    return [field.name for field in spec.text_fields if item and field.column == item.join_key]


def likes(
    spec: DatasetSpec, events: pa.Table, texts: dict[str, str], *, window: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Windows of successive likes (W, window + 1) as item numbers, and each number's text; other items are left out."""
    clicked = events.filter(pa.array(events["label"].to_numpy() > 0))
    number = {key: place for place, key in enumerate(texts)}
    items = np.array([number.get(key, -1) for key in clicked[spec.entities["item"].join_key].to_pylist()], np.int64)
    users = clicked[spec.entities["user"].join_key].combine_chunks().dictionary_encode()
    codes = users.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    known = items >= 0
    return colike_windows(codes[known], items[known], window=window), list(texts.values())


def read_texts(workspace: Workspace, spec: DatasetSpec) -> dict[str, dict[str, str]]:
    """Field -> value -> text of everything that the dataset's offline tables hold now."""
    events = events_table(workspace, spec)
    entities = {}
    for owner in spec.entities:
        folder = workspace.offline_table(spec.name, owner)
        if table_files(folder):
            table = read_files(folder, first_run="llactr ingest")
            entities[str(owner)] = table.sort_by([("event_timestamp", "ascending"), ("created_timestamp", "ascending")])
    return value_texts(spec, events, entities)


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    return (
        f"{facts['model']}: {facts['windows']:,} windows of likes of {facts['items']:,} items, loss on held-out "
        f"windows {facts['loss_before']:.2f} -> {facts['loss_after']:.2f}, adapter in {outcome.folder / 'adapter'}"
    )
