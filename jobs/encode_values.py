"""`llactr encode --values`: encodes each distinct value's text once, piece by piece, and only what is new."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from llactr.errors import InputError, NotReadyError
from llactr.manifest import read_manifest
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
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import stored_texts, write_value_vectors
from llactr.store.ingested import dataset_hash, dataset_spec
from llactr.store.value_texts import read_texts
from llactr.workspace import Workspace

__all__ = ["current_version", "describe", "run"]


def run(
    job: Job, dataset: str, config: ValueSemanticsConfig, *, untuned: bool = False, shards: int = 1, piece: int = 1024
) -> StepOutcome:
    """Encodes the values that have no vector of this version yet. A killed run loses at most one piece a shard.

    Args:
        job: where.
        dataset: which.
        config: the encoder; the adapter that collaborative tuning made for it last is used, where the spec allows it.
        untuned: use no adapter; where none was tuned, and values were encoded without one before, that goes on.
        shards: processes that encode side by side; with several GPUs, one each.
        piece: distinct texts that are kept at a time.

    Raises:
        InputError: the spec gives no field a value_text.
        NotReadyError: no adapter has been made.
    """
    spec = dataset_spec(job.workspace, dataset)
    if not spec.text_fields:
        raise InputError(f"no field of {dataset!r} has a value_text: say in the spec which values have a text")
    untuned = untuned or not config.tune or not can_tune(spec)
    adapter = None if untuned else job.workspace.current(dataset).get("tune_values")
    if adapter is None and not untuned and not _went_untuned(job.workspace, dataset):
        raise NotReadyError(
            f"the encoder of {dataset!r}'s values has not been tuned: run 'llactr finetune --objective colike', "
            "or encode with --untuned"
        )
    encoder_config = config.encoder
    if adapter is not None:
        encoder_config = encoder_config.model_copy(update={"adapter": adapter / "adapter"})

    def work(_: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 0, "loading the encoder")
        texts = read_texts(job.workspace, spec)
        encoder = load_encoder(encoder_config)
        version = values_version(spec, encoder)
        pieces = new_pieces(texts, stored_texts(job.workspace, dataset, version), texts_per_piece=piece)
        total = sum(map(len, pieces))
        if shards > 1 and len(pieces) > 1:
            for done in _in_shards(job.workspace, dataset, version, encoder_config, pieces, shards):
                advance(done, total, f"{done:,} of {total:,} texts")
        else:
            keep = _Keep(job.workspace.root, dataset, version, encoder.name)
            encode_pieces(
                encoder, pieces, keep, progress=lambda done, of: advance(done, of, f"{done:,} of {of:,} texts")
            )
        values = {name: len(some) for name, some in texts.items()}
        advance(1, 1, f"{sum(values.values()):,} values, {total:,} new texts, version {version}")
        return {
            "version": version,
            "encoder": encoder.name,
            "adapter": str(adapter) if adapter else None,
            "dim": encoder.dim,
            "values": values,
            "new_texts": total,
        }

    return job.step(
        "encode_values",
        lambda key: job.workspace.artifact("value_semantics", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config={"encoder": config.encoder.model_dump(mode="json")},
        inputs={"dataset": dataset_hash(job.workspace, dataset), "adapter": _key(adapter)},
        work=work,
    )


def _went_untuned(workspace: Workspace, dataset: str) -> bool:
    """Whether values have been encoded without an adapter: new ones then join them."""
    folder = workspace.current(dataset).get("encode_values")
    manifest = read_manifest(folder) if folder else None
    return manifest is not None and manifest["result"]["adapter"] is None


def current_version(workspace: Workspace, dataset: str) -> str:
    """The values' semantics version encoded last.

    Raises:
        NotReadyError: no values have been encoded.
    """
    folder = workspace.current(dataset).get("encode_values")
    manifest = read_manifest(folder) if folder else None
    if manifest is None:
        raise NotReadyError(f"the values of {dataset!r} have no vectors: run 'llactr encode --values' first")
    version: str = manifest["result"]["version"]
    return version


class _Keep:
    """Writes an encoded piece to the offline store."""

    def __init__(self, root: Path, dataset: str, version: str, encoder: str) -> None:
        self.workspace, self.dataset, self.version, self.encoder = Workspace(root), dataset, version, encoder

    def __call__(self, piece: EncodedPiece) -> None:
        write_value_vectors(
            self.workspace,
            self.dataset,
            self.version,
            encoder=self.encoder,
            keys=piece.keys,
            texts=piece.texts,
            vectors=piece.vectors,
        )


def _in_shards(
    workspace: Workspace, dataset: str, version: str, config: EncoderConfig, pieces: list[Piece], shards: int
) -> Iterator[int]:
    """How many texts all shards together have done so far, again and again until they are through."""
    shards = min(shards, len(pieces))
    threads = max(1, (os.cpu_count() or 1) // shards)
    context = get_context("spawn")
    done = context.Array("q", shards)
    with ProcessPoolExecutor(shards, mp_context=context, initializer=_begin, initargs=(os.getpid(), done)) as pool:
        left = {
            pool.submit(_shard, workspace.root, dataset, version, config, pieces[number::shards], number, threads)
            for number in range(shards)
        }
        while left:
            ended, left = wait(left, timeout=0.5)
            for one in ended:
                one.result()
            yield sum(done[:])


_done: Any = None
"""In a shard's process: texts done, by shard; shared with the process that began it."""


def _shard(
    root: Path, dataset: str, version: str, config: EncoderConfig, pieces: list[Piece], number: int, threads: int
) -> None:
    import torch

    torch.set_num_threads(threads)
    if config.device == "auto" and torch.cuda.is_available():
        config = config.model_copy(update={"device": f"cuda:{number % torch.cuda.device_count()}"})
    encoder = load_encoder(config)

    def shown(now: int, _: int) -> None:
        _done[number] = now

    encode_pieces(encoder, pieces, _Keep(root, dataset, version, encoder.name), progress=shown)


def _begin(parent: int, done: Any) -> None:
    """Takes the shared counts, and ends this process once its parent is gone: a pool's worker would wait for ever.

    The piece that is being encoded is lost then; what has been kept is whole.
    """
    global _done
    _done = done

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _key(adapter: Path | None) -> str:
    manifest = read_manifest(adapter) if adapter else None
    return manifest["key"] if manifest else ""


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    return (
        f"values' semantics version {facts['version']}: {sum(facts['values'].values()):,} values of "
        f"{', '.join(facts['values'])}, {facts['new_texts']:,} texts encoded anew by {facts['encoder']}"
    )
