"""The parts of a study: the rows of a draw, its value vectors, and one trained model of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from jobs.console import Advance
from jobs.dataset import dataset_hash
from jobs.step import Job
from jobs.study_config import StudyArm, StudyConfig, has_values, is_tuned
from jobs.train import build_model
from jobs.tune_values import item_text_field, likes
from llactr.ctr import BackboneName, CTRModel, TrainingSet, ValueTables
from llactr.ctr.cold_start import ColdStart
from llactr.semantics import (
    EncoderConfig,
    FieldValueVectors,
    ValueVectors,
    bag_of_words_values,
    load_encoder,
    permuted_values,
    random_values,
    tune_colike,
    values_version,
)
from llactr.spec import DatasetSpec
from llactr.transforms import chronological_split

__all__ = ["arm_model", "arm_tables", "draw_rows", "draw_vectors"]

_VECTORS = "vectors.safetensors"


def draw_rows(spec: DatasetSpec, rows: pa.Table, config: StudyConfig, draw: int) -> NDArray[np.int64]:
    """The training rows of a draw.

    `items`: those of the chronological split without the drawn items, which stay in validation and test: they are the
    new items of the later time. `rows10`, `rows30`: a random share, in the order of time.
    """
    training = np.arange(len(chronological_split(rows.num_rows, spec.split).train), dtype=np.int64)
    rng = np.random.default_rng([20, draw])
    if config.design == "items":
        items = rows[spec.entities["item"].join_key].combine_chunks().dictionary_encode()
        keys = np.array(items.dictionary.to_pylist())
        order = np.argsort(keys)
        held = np.zeros(len(keys), np.bool_)
        held[order[rng.permutation(len(keys))[: round(config.held_share * len(keys))]]] = True
        codes = items.indices.to_numpy(zero_copy_only=False)[training]
        return training[~held[codes]]
    if config.design in {"rows10", "rows30"}:
        count = len(training) * int(config.design[4:]) // 100
        return np.sort(rng.choice(training, count, replace=False))
    return training


def draw_vectors(
    job: Job,
    spec: DatasetSpec,
    rows: pa.Table,
    texts: Mapping[str, Mapping[str, str]],
    config: StudyConfig,
    *,
    train_rows: NDArray[np.int64],
    draw: int,
    tuned: bool,
) -> ValueVectors:
    """The vectors of all values by the encoder as published, or tuned on the likes of the draw's training rows."""
    name = f"draw {draw}" if tuned else "untuned"

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 0, f"{name}: loading the encoder")
        encoder = load_encoder(config.encoder.encoder)
        facts: dict[str, Any] = {}
        if tuned:
            items = dict(texts[item_text_field(spec)])
            windows, words = likes(spec, rows.take(pa.array(train_rows)), items, window=config.encoder.colike.window)
            result = tune_colike(
                encoder, words, windows, config.encoder.colike,
                progress=lambda state: advance(state.step, state.steps, f"{name}: tuning, loss {state.loss or 0:.2f}"),
            )  # fmt: skip
            facts = result.to_json()
        vectors = {field: encoder.encode(list(some.values())) for field, some in texts.items()}
        save_file(vectors, draft / _VECTORS)
        advance(1, 1, f"{name}: {sum(map(len, vectors.values())):,} values encoded")
        return facts | {"version": values_version(spec, encoder), "encoder": encoder.name}

    where: dict[str, Any] = {"design": config.design, "draw": draw, "held_share": config.held_share} if tuned else {}
    encoder_config = config.encoder.model_dump(mode="json") if tuned else {"encoder": _plain(config.encoder.encoder)}
    outcome = job.step(
        "study_values",
        lambda key: job.workspace.artifact("study_values", f"{spec.name}-{key[:12]}"),
        dataset=spec.name,
        config={**encoder_config, **where},
        inputs={"dataset": dataset_hash(job.workspace, spec.name)},
        work=work,
    )
    stored = load_file(outcome.folder / _VECTORS)
    fields = {field: FieldValueVectors(tuple(some), stored[field]) for field, some in texts.items()}
    return ValueVectors(spec.name, outcome.result["version"], outcome.result["encoder"], fields)


def _plain(encoder: EncoderConfig) -> dict[str, Any]:
    content: dict[str, Any] = encoder.model_dump(mode="json")
    return content


def arm_tables(
    arm: StudyArm,
    seed: int,
    training_set: TrainingSet,
    texts: Mapping[str, Mapping[str, str]],
    config: StudyConfig,
    vectors: Callable[[bool], ValueVectors],
) -> ValueTables | None:
    """The value vectors of an arm, `vectors` giving the tuned or the untuned ones; None for an arm without any."""
    if not has_values(arm):
        return None
    chosen = vectors(is_tuned(arm))
    if arm.endswith("permuted"):
        chosen = permuted_values(chosen, seed)
    elif arm == "values random":
        chosen = random_values(chosen, seed)
    elif arm == "values words":
        chosen = bag_of_words_values(chosen, texts)
    return ValueTables.fit(training_set.transform, chosen, config.values, training_set.unseen)


def arm_model(
    spec: DatasetSpec,
    training_set: TrainingSet,
    backbone: BackboneName,
    arm: StudyArm,
    seed: int,
    config: StudyConfig,
    tables: ValueTables | None,
) -> CTRModel:
    """A fresh model of an arm; models of one seed share initial weights and batches."""
    enhancement = config.enhancement
    if arm in {"fre", "fie"}:
        enhancement = enhancement.model_copy(update={"fre": arm == "fre", "fie": arm == "fie"})
    field_arm = {"paper permuted": "permuted", "paper random": "random"}.get(arm, "enhanced")
    if arm.startswith(("plain", "values")):
        field_arm = "plain"
    return build_model(
        training_set,
        backbone,
        field_arm,  # type: ignore[arg-type]  # one of the field vectors' arms
        enhancement=enhancement,
        settings=config.settings.get(backbone, {}),
        seed=seed,
        values=tables,
        cold=ColdStart.of(spec, training_set.transform, config.cold_share) if "cold" in arm else None,
    )
