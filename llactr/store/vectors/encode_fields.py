"""The step that encodes the K field descriptions, writes them with their semantics version, and makes the release."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from llactr.errors import InputError, NotReadyError
from llactr.manifest import content_hash, file_hash, read_manifest
from llactr.semantics import EncoderConfig, FieldVectors, SemanticsConfig, encode_fields, load_encoder
from llactr.semantics.encoders.models import canonical_name
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome
from llactr.store.field_vectors import write_field_vectors
from llactr.store.ingested import dataset_spec
from llactr.store.releases import release
from llactr.store.vectors.summaries import EncodeSummary

__all__ = ["adapter_hash", "adapter_key", "encode_dataset", "refuse_adapter"]


def encode_dataset(
    job: Job, dataset: str, config: SemanticsConfig, *, untuned: bool, effective_from: str
) -> StepOutcome[EncodeSummary]:
    """Encodes with the dataset's latest adapter, or without one, and releases the version.

    Args:
        job: where.
        dataset: which.
        config: the encoder, with the adapter that `llactr finetune` made last; where it names no model, that of the
            adapter, where it names an adapter, that one.
        untuned: use no adapter.
        effective_from: `start` (of the dataset: the release holds for all rows), `now`, or an ISO time with a zone.

    Raises:
        NotReadyError: no adapter has been made, or the last one was made for another model than the one named.
        InputError: `effective_from` is no moment, or an adapter is named that is not to be used.
    """
    spec = dataset_spec(job.workspace, dataset)
    moment = _moment(effective_from)
    refuse_adapter(config.encoder, untuned=untuned)
    named = config.encoder.adapter
    adapter = None if untuned or named or not config.tune else _adapter(job, dataset)
    encoder = _with_adapter(config.encoder, adapter) if adapter else config.encoder

    def work(draft: Path, advance: Advance) -> EncodeSummary:
        advance(0, 0, "loading the encoder")
        return _encoded(job, spec, encoder, moment, draft, advance)

    outcome = job.step(
        Step.ENCODE,
        lambda key: job.workspace.artifact("semantics", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config={"encoder": config.encoder.model_dump(mode="json"), "effective_from": effective_from},
        inputs={
            "fields": content_hash([[field.name, field.description] for field in spec.fields]),
            "adapter": adapter_key(adapter) if adapter else adapter_hash(named),
        },
        result=EncodeSummary,
        work=work,
    )
    if outcome.skipped:
        # Another version may have been released in between, or older history ingested: the release follows.
        write_field_vectors(job.workspace, FieldVectors.load(outcome.folder))
        release(job.workspace, dataset, outcome.result.version, effective_from=moment)
    return outcome


def adapter_key(adapter: Path | None) -> str:
    """The key of the step that made an adapter; empty for none."""
    manifest = read_manifest(adapter) if adapter else None
    return manifest["key"] if manifest else ""


def refuse_adapter(encoder: EncoderConfig, *, untuned: bool) -> None:
    """Refuses a configuration with an adapter for an encoder that is to have none.

    Raises:
        InputError: both were given.
    """
    if untuned and encoder.adapter is not None:
        raise InputError(
            f"--untuned was given, and the configuration names the adapter {encoder.adapter}: leave one of them out"
        )


def adapter_hash(adapter: Path | None) -> str:
    """Hash of what an adapter's folder holds, which may change under its name; empty for none."""
    if adapter is None or not adapter.is_dir():  # the encoder refuses the latter
        return ""
    return content_hash({path.name: file_hash(path) for path in sorted(adapter.iterdir()) if path.is_file()})


def _encoded(
    job: Job, spec: DatasetSpec, encoder: EncoderConfig, moment: datetime | None, draft: Path, advance: Advance
) -> EncodeSummary:
    """Encodes, keeps a copy beside the manifest, adds to the offline table, and releases."""
    vectors = encode_fields(spec, load_encoder(encoder))
    vectors.save(draft)
    new = write_field_vectors(job.workspace, vectors)
    since = release(job.workspace, spec.name, vectors.version, effective_from=moment)
    advance(1, 1, f"{len(vectors.fields)} field vectors of dim {vectors.dim}, version {vectors.version}")
    return EncodeSummary(
        version=vectors.version,
        encoder=vectors.encoder,
        dim=vectors.dim,
        fields=vectors.fields,
        new=new,
        effective_from=since.isoformat(),
    )


def _adapter(job: Job, dataset: str) -> Path:
    adapter = job.workspace.current(dataset).get(Step.FINETUNE)
    if adapter is None:
        raise NotReadyError(
            f"no adapter has been tuned for {dataset!r}: run 'llactr finetune', or encode with --untuned"
        )
    return adapter


def _with_adapter(encoder: EncoderConfig, adapter: Path) -> EncoderConfig:
    """The encoder with an adapter, on the model that this was tuned on.

    A model that is named is never exchanged for another. Of a folder only its content says whether the adapter fits:
    that is compared when it is loaded.
    """
    manifest = read_manifest(adapter)
    try:
        tuned = SemanticsConfig.model_validate(manifest["config"] if manifest else None).encoder.model
    except ValidationError:
        raise NotReadyError(f"the adapter {adapter} has no manifest: run 'llactr finetune' again") from None
    named = encoder.model if "model" in encoder.model_fields_set else tuned
    folders = any(Path(name).expanduser().is_dir() for name in (named, tuned))
    if not folders and canonical_name(named) != canonical_name(tuned):
        raise NotReadyError(
            f"the adapter tuned last is of the model {tuned!r}, the model named is {named!r}: run "
            f"'llactr finetune --model {named}' first, encode with --untuned, or name {tuned!r} or no model"
        )
    return encoder.model_copy(update={"adapter": adapter / "adapter", "model": named})


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
