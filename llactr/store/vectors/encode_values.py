"""The step that encodes each distinct value's text once, piece by piece, and only what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from llactr.device import spread_device
from llactr.errors import InputError, ModelError, NotReadyError
from llactr.pieces import ALONE, Seat, Workers, run_pieces
from llactr.semantics import (
    EncodedPiece,
    EncoderConfig,
    ValueSemanticsConfig,
    encode_pieces,
    load_encoder,
    new_pieces,
    values_version,
)
from llactr.semantics.tuning.likes import can_tune
from llactr.semantics.value_encoding import Piece
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome
from llactr.store.ingested import dataset_hash, dataset_spec
from llactr.store.repository.state import repository_state
from llactr.store.value_texts import read_seen_texts
from llactr.store.value_vectors import stored_texts, write_value_vectors, written_at
from llactr.store.vectors.encode_fields import adapter_hash, adapter_key, refuse_adapter
from llactr.store.vectors.summaries import EncodeValuesSummary, last_encoded_values
from llactr.workspace import Workspace

__all__ = ["encode_dataset_values"]


def encode_dataset_values(
    job: Job,
    dataset: str,
    config: ValueSemanticsConfig,
    *,
    untuned: bool = False,
    workers: Workers = ALONE,
    piece: int = 1024,
    unseen: int | None = None,
) -> StepOutcome[EncodeValuesSummary]:
    """Encodes the values that have no vector of this version yet. A killed run loses at most one piece a worker.

    Args:
        job: where.
        dataset: which.
        config: the encoder; the adapter that it names, else the one that collaborative tuning made last, where the
            spec allows it. An adapter of another model is refused.
        untuned: use no adapter; where none was tuned, and values were encoded without one before, that goes on.
        workers: who encodes; with several GPUs, one each.
        piece: distinct texts that are kept at a time.
        unseen: of users and items that no event has, the texts of so many are encoded, the newest; None for all.

    Raises:
        InputError: the spec gives no field a value_text, or an adapter is named that is not to be used.
        ModelError: the adapter is one of another model.
        NotReadyError: no adapter has been made.
    """
    spec = dataset_spec(job.workspace, dataset)
    if not spec.text_fields:
        raise InputError(f"no field of {dataset!r} has a value_text: say in the spec which values have a text")
    encoder = config.encoder
    refuse_adapter(encoder, untuned=untuned)
    tuned = config.tune and can_tune(spec) and not untuned and encoder.adapter is None
    adapter = _adapter(job.workspace, dataset) if tuned else None
    if adapter is not None:
        encoder = encoder.model_copy(update={"adapter": adapter / "adapter"})

    def work(_: Path, advance: Advance) -> EncodeValuesSummary:
        advance(0, 0, "loading the encoder")
        texts, left = read_seen_texts(job.workspace, spec, unseen=unseen)
        made = _encode_new(job.workspace, spec, encoder, texts, workers=workers, piece=piece, advance=advance)
        values = sum(made.values.values())
        without = f", {sum(left.values()):,} without an event left to 'llactr encode --values'" if left else ""
        advance(1, 1, f"{values:,} values, {made.new_texts:,} new texts, version {made.version}{without}")
        return made.model_copy(update={"adapter": str(adapter) if adapter else None, "left_out": left})

    return job.step(
        Step.ENCODE_VALUES,
        lambda key: job.workspace.artifact("value_semantics", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config={"encoder": config.encoder.model_dump(mode="json"), **({} if unseen is None else {"unseen": unseen})},
        inputs={
            "dataset": dataset_hash(job.workspace, dataset),
            **repository_state(job.workspace, spec),
            "adapter": adapter_key(adapter) if adapter else adapter_hash(encoder.adapter),
        },
        result=EncodeValuesSummary,
        work=work,
    )


def _adapter(workspace: Workspace, dataset: str) -> Path | None:
    """The adapter tuned last; None where values have been encoded without one: new ones then join them."""
    adapter = workspace.current(dataset).get(Step.TUNE_VALUES)
    known = last_encoded_values(workspace, dataset)
    if adapter is None and (known is None or known.result.adapter is not None):
        raise NotReadyError(
            f"the encoder of {dataset!r}'s values has not been tuned: run 'llactr finetune --objective colike', "
            "or encode with --untuned"
        )
    return adapter


def _encode_new(
    workspace: Workspace,
    spec: DatasetSpec,
    config: EncoderConfig,
    texts: Mapping[str, Mapping[str, str]],
    *,
    workers: Workers,
    piece: int,
    advance: Advance,
) -> EncodeValuesSummary:
    """Encodes and keeps what has no vector yet."""
    encoder = load_encoder(config)
    version = values_version(spec, encoder)
    pieces = new_pieces(texts, stored_texts(workspace, spec.name, version), texts_per_piece=piece)
    total = sum(map(len, pieces))
    keep = _Keep(workspace.root, spec.name, version, encoder.name)

    def shown(done: int, of: int) -> None:
        advance(done, of, f"{done:,} of {of:,} texts")

    if workers.alone or len(pieces) < 2:
        encode_pieces(encoder, pieces, keep, progress=shown)
    else:
        shown(0, total)
        done = 0
        for texts_done in run_pieces(_BeginEncoding(config, keep), _Timed(pieces), workers):
            done += texts_done
            shown(done, total)
    return EncodeValuesSummary(
        version=version,
        encoder=encoder.name,
        adapter=None,
        dim=encoder.dim,
        values={name: len(some) for name, some in texts.items()},
        new_texts=total,
    )


@dataclass(frozen=True)
class _Timed:
    """Pieces, each with a moment of its own, from the time at which it was handed out: the name of what it leaves."""

    pieces: Sequence[Piece]

    def __len__(self) -> int:
        return len(self.pieces)

    def __iter__(self) -> Iterator[tuple[Piece, datetime]]:
        last = datetime.now(UTC)
        for piece in self.pieces:
            last = max(datetime.now(UTC), last + timedelta(microseconds=1))
            yield piece, last


@dataclass(frozen=True)
class _BeginEncoding:
    """Loads the encoder; a piece's result is how many texts it has."""

    config: EncoderConfig
    keep: _Keep

    def __call__(self, seat: Seat) -> Callable[[tuple[Piece, datetime]], int]:
        seat.take(self.keep.workspace.root)
        encoder = load_encoder(
            self.config.model_copy(update={"device": spread_device(self.config.device, seat.number)})
        )
        if values_version(dataset_spec(self.keep.workspace, self.keep.dataset), encoder) != self.keep.version:
            raise ModelError(
                f"the encoder that a worker loads as {self.config.model!r} has other weights than the one here: give "
                "all machines the same model, such as a folder that they share"
            )

        def encoded(given: tuple[Piece, datetime]) -> int:
            piece, moment = given
            if self.keep.kept(moment):  # by a worker that died before it could say so
                return len(piece)
            return encode_pieces(encoder, [piece], partial(self.keep, moment=moment))

        return encoded


class _Keep:
    """Writes an encoded piece to the offline store, in whichever process it is called."""

    def __init__(self, root: Path, dataset: str, version: str, encoder: str) -> None:
        self.workspace, self.dataset, self.version, self.encoder = Workspace(root), dataset, version, encoder

    def kept(self, moment: datetime) -> bool:
        """Whether the piece of a moment has been written."""
        return written_at(self.workspace, self.dataset, self.version, moment)

    def __call__(self, piece: EncodedPiece, moment: datetime | None = None) -> None:
        write_value_vectors(
            self.workspace,
            self.dataset,
            self.version,
            encoder=self.encoder,
            keys=piece.keys,
            texts=piece.texts,
            vectors=piece.vectors,
            moment=moment,
        )
