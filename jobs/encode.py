"""`llactr encode`: encodes the K field descriptions, writes them with their semantics version, makes the release."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llactr.errors import InputError, NotReadyError
from llactr.manifest import content_hash, read_manifest
from llactr.semantics import FieldVectors, SemanticsConfig, encode_fields, load_encoder
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import current_release, release, write_field_vectors
from llactr.store.ingested import dataset_spec

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, config: SemanticsConfig, *, untuned: bool, effective_from: str) -> StepOutcome:
    """Encodes with the dataset's latest adapter, or without one, and releases the version.

    Args:
        job: where.
        dataset: which.
        config: the encoder; the adapter that `llactr finetune` made for it last is used.
        untuned: use no adapter.
        effective_from: `start` (of the dataset: the release holds for all rows), `now`, or an ISO time with a zone.

    Raises:
        NotReadyError: no adapter has been made.
        InputError: `effective_from` is no moment.
    """
    spec = dataset_spec(job.workspace, dataset)
    moment = _moment(effective_from)
    untuned = untuned or not config.tune
    adapter = None if untuned else job.workspace.current(dataset).get("finetune")
    if adapter is None and not untuned:
        raise NotReadyError(
            f"no adapter has been tuned for {dataset!r}: run 'llactr finetune', or encode with --untuned"
        )
    fields = {field.name: field.description for field in spec.fields}

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 0, "loading the encoder")
        encoder_config = config.encoder
        if adapter is not None:
            tuned = _tuned_encoder(adapter)
            encoder_config = config.encoder.model_copy(update={"adapter": adapter / "adapter", "model": tuned})
        vectors = encode_fields(spec, load_encoder(encoder_config))
        vectors.save(draft)
        new = write_field_vectors(job.workspace, vectors)
        since = release(job.workspace, dataset, vectors.version, effective_from=moment)
        advance(1, 1, f"{len(vectors.fields)} field vectors of dim {vectors.dim}, version {vectors.version}")
        return {
            "version": vectors.version,
            "encoder": vectors.encoder,
            "dim": vectors.dim,
            "fields": list(vectors.fields),
            "new": new,
            "effective_from": since.isoformat(),
        }

    outcome = job.step(
        "encode",
        lambda key: job.workspace.artifact("semantics", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config={"encoder": config.encoder.model_dump(mode="json"), "effective_from": effective_from},
        inputs={"fields": content_hash([list(pair) for pair in fields.items()]), "adapter": _key(adapter)},
        work=work,
    )
    if outcome.skipped and current_release(job.workspace, dataset) != outcome.result["version"]:
        # Another version was released in between: going back to this one is a release of its own.
        write_field_vectors(job.workspace, FieldVectors.load(outcome.folder))
        release(job.workspace, dataset, outcome.result["version"], effective_from=moment)
    return outcome


def _key(adapter: Path | None) -> str:
    manifest = read_manifest(adapter) if adapter else None
    return manifest["key"] if manifest else ""


def _tuned_encoder(adapter: Path) -> str:
    """The model that an adapter was tuned on."""
    manifest = read_manifest(adapter)
    if manifest is None:
        raise NotReadyError(f"the adapter {adapter} has no manifest: run 'llactr finetune' again")
    model: str = manifest["config"]["encoder"]["model"]
    return model


def _moment(text: str) -> datetime | None:
    if text == "start":
        return None
    if text == "now":
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise InputError(
            f"--effective-from is {text!r}: give 'start', 'now', or a time such as 2026-01-31T12:00:00+00:00"
        )
    return moment


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    return (
        f"semantics version {facts['version']}: {len(facts['fields'])} vectors of dim {facts['dim']} "
        f"by {facts['encoder']}, current from {facts['effective_from']}"
    )
