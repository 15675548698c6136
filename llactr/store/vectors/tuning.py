"""The steps that tune an adapter: one for the descriptions of fields, one for the texts of values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from llactr.datasets import table_files
from llactr.errors import DataError
from llactr.semantics import (
    SemanticsConfig,
    TuningProgress,
    ValueSemanticsConfig,
    distinct_field_values,
    finetune,
    load_encoder,
    tune_colike,
)
from llactr.semantics.tuning.likes import can_tune, item_text_field, likes, too_few_windows
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome
from llactr.store.ingested import dataset_hash, dataset_spec
from llactr.store.repository.state import repository_state
from llactr.store.tables import read_files
from llactr.store.training import events_table, with_repository_fields
from llactr.store.value_texts import read_texts
from llactr.store.vectors.summaries import FinetuneSummary, TuneValuesSummary
from llactr.transforms import chronological_split
from llactr.workspace import Workspace

__all__ = ["training_values", "tune_fields", "tune_values", "why_untuned"]


def tune_fields(job: Job, dataset: str, config: SemanticsConfig) -> StepOutcome[FinetuneSummary]:
    """Tunes an adapter for a dataset's fields on its training rows' values, and measures what it learned."""
    spec = dataset_spec(job.workspace, dataset)

    def work(draft: Path, advance: Advance) -> FinetuneSummary:
        advance(0, 0, "loading the encoder")
        encoder = load_encoder(config.encoder)
        descriptions = {field.name: field.description for field in spec.fields}
        values = training_values(job.workspace, spec)
        result = finetune(encoder, descriptions, values, config.finetune, progress=_shown(advance))
        encoder.save_adapter(draft / "adapter")
        result.save(draft)
        made = FinetuneSummary.model_validate(result.to_json() | {"fingerprint": encoder.fingerprint})
        advance(1, 1, f"held-out field accuracy {made.before.accuracy:.2f} -> {made.after.accuracy:.2f}")
        return made

    return job.step(
        Step.FINETUNE,
        lambda key: job.workspace.artifact("adapters", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config=config.model_dump(mode="json"),
        inputs={"dataset": dataset_hash(job.workspace, dataset), **repository_state(job.workspace, spec)},
        result=FinetuneSummary,
        work=work,
    )


def tune_values(job: Job, dataset: str, config: ValueSemanticsConfig) -> StepOutcome[TuneValuesSummary]:
    """Tunes an adapter for a dataset's values on the likes of its training rows.

    Raises:
        InputError: the spec has no users, or no texts of items.
        DataError: there are too few successive likes; that is known before the encoder is loaded.
    """
    spec = dataset_spec(job.workspace, dataset)
    field = item_text_field(spec)

    def work(draft: Path, advance: Advance) -> TuneValuesSummary:
        advance(0, 0, "loading the encoder")
        texts = read_texts(job.workspace, spec)[field]
        windows, items = likes(spec, _training_events(job.workspace, spec), texts, window=config.colike.window)
        if reason := too_few_windows(windows, config.colike):  # before the encoder is loaded
            raise DataError(f"{reason}: use the objective 'fields', or encode with --untuned")
        encoder = load_encoder(config.encoder)
        result = tune_colike(encoder, items, windows, config.colike, progress=_shown(advance))
        encoder.save_adapter(draft / "adapter")
        result.save(draft)
        advance(1, 1, f"loss on held-out windows {result.loss_before:.2f} -> {result.loss_after:.2f}")
        extra = {"fingerprint": encoder.fingerprint, "model_config": config.encoder.model}
        return TuneValuesSummary.model_validate(result.to_json() | extra)

    return job.step(
        Step.TUNE_VALUES,
        lambda key: job.workspace.artifact("adapters", f"{dataset}-colike-{key[:12]}"),
        dataset=dataset,
        config=config.model_dump(mode="json"),
        inputs={"dataset": dataset_hash(job.workspace, dataset), **repository_state(job.workspace, spec)},
        result=TuneValuesSummary,
        work=work,
    )


def why_untuned(workspace: Workspace, spec: DatasetSpec, config: ValueSemanticsConfig) -> str:
    """Why the encoder of values cannot be tuned on likes; empty where it can."""
    if not can_tune(spec):
        return "there are no users who like items with texts"
    texts = read_texts(workspace, spec)[item_text_field(spec)]
    windows, _ = likes(spec, _training_events(workspace, spec), texts, window=config.colike.window)
    return too_few_windows(windows, config.colike)


def training_values(workspace: Workspace, spec: DatasetSpec) -> dict[str, tuple[str, ...]]:
    """The distinct values of each field among the training rows."""
    entities: dict[str, pa.Table] = {}
    for owner in spec.entities:
        folder = workspace.offline_table(spec.name, owner)
        if table_files(folder):
            entities[owner] = read_files(folder, first_run="llactr ingest")
    events = with_repository_fields(workspace, spec, _training_events(workspace, spec))
    return distinct_field_values(spec, events, entities=entities)


def _training_events(workspace: Workspace, spec: DatasetSpec) -> pa.Table:
    events = events_table(workspace, spec)
    return events.slice(0, len(chronological_split(events.num_rows, spec.split).train))


def _shown(advance: Advance) -> Callable[[TuningProgress], None]:
    def shown(state: TuningProgress) -> None:
        loss = f"loss {state.loss:.2f}" if state.loss is not None else f"measuring {state.phase}"
        advance(state.step, state.steps, loss)

    return shown
