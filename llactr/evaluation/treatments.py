"""The parts of an evaluation: the rows of a draw, its value vectors, and the model of an arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from llactr.ctr import BackboneName, CTRModel, TrainingSet, ValueTables
from llactr.ctr.training.build import build_model
from llactr.ctr.training.cold_start import ColdStart
from llactr.evaluation.arms import Arm, base, has_fields, has_values, is_cold, is_tuned, role
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.placebos import permuted, random_like
from llactr.evaluation.value_placebos import bag_of_words_values, permuted_values, random_values
from llactr.semantics import (
    EncoderConfig,
    FieldValueVectors,
    ValueSemanticsConfig,
    ValueVectors,
    load_encoder,
    tune_colike,
    values_version,
)
from llactr.semantics.tuning.likes import item_text_field, likes
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job
from llactr.store.ingested import dataset_hash
from llactr.transforms import chronological_split

__all__ = ["arm_model", "arm_tables", "draw_rows", "draw_vectors"]

_VECTORS = "vectors.safetensors"


def draw_rows(spec: DatasetSpec, rows: pa.Table, config: EvaluateConfig, draw: int) -> NDArray[np.int64]:
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
    config: EvaluateConfig,
    semantics: ValueSemanticsConfig,
    *,
    train_rows: NDArray[np.int64],
    draw: int,
    tuned: bool,
) -> ValueVectors:
    """The vectors of all values by the encoder as published, or tuned on the likes of the draw's training rows."""
    name = f"draw {draw}" if tuned else "untuned"

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 0, f"{name}: loading the encoder")
        encoder = load_encoder(semantics.encoder)
        facts: dict[str, Any] = {}
        if tuned:
            items = dict(texts[item_text_field(spec)])
            windows, words = likes(spec, rows.take(pa.array(train_rows)), items, window=semantics.colike.window)
            result = tune_colike(
                encoder, words, windows, semantics.colike,
                progress=lambda state: advance(state.step, state.steps, f"{name}: tuning, loss {state.loss or 0:.2f}"),
            )  # fmt: skip
            facts = result.to_json()
        vectors = {field: encoder.encode(list(some.values())) for field, some in texts.items()}
        save_file(vectors, draft / _VECTORS)
        advance(1, 1, f"{name}: {sum(map(len, vectors.values())):,} values encoded")
        return facts | {"version": values_version(spec, encoder), "encoder": encoder.name}

    where: dict[str, Any] = {"design": config.design, "draw": draw, "held_share": config.held_share} if tuned else {}
    encoder_config = semantics.model_dump(mode="json") if tuned else {"encoder": _plain(semantics.encoder)}
    outcome = job.step(
        "evaluation_values",
        lambda key: job.workspace.artifact("evaluation_values", f"{spec.name}-{key[:12]}"),
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
    arm: Arm,
    seed: int,
    training_set: TrainingSet,
    texts: Mapping[str, Mapping[str, str]],
    config: EvaluateConfig,
    vectors: Callable[[bool], ValueVectors],
) -> ValueTables | None:
    """The value vectors of an arm, `vectors` giving the tuned or the untuned ones; None for an arm without any."""
    if not has_values(arm):
        return None
    chosen = vectors(is_tuned(arm))
    match role(arm):
        case "permuted":
            chosen = permuted_values(chosen, seed)
        case "random":
            chosen = random_values(chosen, seed)
        case "words":
            chosen = bag_of_words_values(chosen, texts)
    return ValueTables.fit(training_set.transform, chosen, config.values, training_set.unseen)


def arm_model(
    spec: DatasetSpec,
    training_set: TrainingSet,
    backbone: BackboneName,
    arm: Arm,
    seed: int,
    config: EvaluateConfig,
    tables: ValueTables | None,
) -> CTRModel:
    """A fresh model of an arm; models of one seed share initial weights and batches, a placebo is drawn by the seed."""
    enhancement = config.enhancement
    if base(arm) in {"fre", "fie"}:
        enhancement = enhancement.model_copy(update={"fre": base(arm) == "fre", "fie": base(arm) == "fie"})
    if has_fields(arm) and role(arm) in {"permuted", "random"}:
        placebo = permuted if role(arm) == "permuted" else random_like
        placebos = tuple(placebo(one, seed) for one in training_set.vectors)
        training_set = dataclasses.replace(training_set, vectors=placebos)
    return build_model(
        training_set,
        backbone,
        enhancement=enhancement if has_fields(arm) else None,
        settings=config.settings.get(backbone, {}),
        seed=seed,
        values=tables,
        cold=ColdStart.of(spec, training_set.transform, config.cold_share) if is_cold(arm) else None,
    )
