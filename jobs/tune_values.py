"""`llactr finetune --objective colike`: tunes the encoder of values on what people liked in close succession."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llactr.semantics import TuningProgress, ValueSemanticsConfig, load_encoder, tune_colike
from llactr.semantics.tuning.likes import item_text_field, likes
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import events_table
from llactr.store.ingested import dataset_hash, dataset_spec
from llactr.store.value_texts import read_texts
from llactr.transforms import chronological_split

__all__ = ["describe", "run"]


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


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    return (
        f"{facts['model']}: {facts['windows']:,} windows of likes of {facts['items']:,} items, loss on held-out "
        f"windows {facts['loss_before']:.2f} -> {facts['loss_after']:.2f}, adapter in {outcome.folder / 'adapter'}"
    )
