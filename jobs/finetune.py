"""`llactr finetune`: fine-tunes the encoder on field-feature pairs (SSFT) and measures what it learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from llactr.datasets import table_files
from llactr.semantics import SemanticsConfig, TuningProgress, distinct_field_values, finetune, load_encoder
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import events_table
from llactr.store.ingested import dataset_hash, dataset_spec
from llactr.store.tables import read_files
from llactr.transforms import chronological_split
from llactr.workspace import Workspace

__all__ = ["describe", "run", "training_values"]


def run(job: Job, dataset: str, config: SemanticsConfig) -> StepOutcome:
    """Tunes an adapter for a dataset's fields on its training rows' values."""
    spec = dataset_spec(job.workspace, dataset)

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 0, "loading the encoder")
        encoder = load_encoder(config.encoder)
        descriptions = {field.name: field.description for field in spec.fields}

        def shown(state: TuningProgress) -> None:
            loss = f"loss {state.loss:.2f}" if state.loss is not None else f"measuring {state.phase}"
            advance(state.step, state.steps, loss)

        result = finetune(encoder, descriptions, training_values(job.workspace, spec), config.finetune, progress=shown)
        encoder.save_adapter(draft / "adapter")
        result.save(draft)
        facts = result.to_json()
        before, after = facts["before"]["accuracy"], facts["after"]["accuracy"]
        advance(1, 1, f"held-out field accuracy {before:.2f} -> {after:.2f}")
        return facts | {"fingerprint": encoder.fingerprint}

    return job.step(
        "finetune",
        lambda key: job.workspace.artifact("adapters", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config=config.model_dump(mode="json"),
        inputs={"dataset": dataset_hash(job.workspace, dataset)},
        work=work,
    )


def training_values(workspace: Workspace, spec: DatasetSpec) -> dict[str, tuple[str, ...]]:
    """The distinct values of each field among the training rows."""
    events = events_table(workspace, spec)
    training = events.slice(0, len(chronological_split(events.num_rows, spec.split).train))
    entities: dict[str, pa.Table] = {}
    for owner in spec.entities:
        folder = workspace.offline_table(spec.name, owner)
        if table_files(folder):
            entities[owner] = read_files(folder, first_run="llactr ingest")
    return distinct_field_values(spec, training, entities=entities)


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    before, after = facts["before"]["accuracy"], facts["after"]["accuracy"]
    return (
        f"{facts['model']}: held-out field accuracy {before:.2f} -> {after:.2f} "
        f"on {facts['values_held_out']} values, adapter in {outcome.folder / 'adapter'}"
    )
