"""The model of an arm: which vectors it is given, and with what in their place."""

from __future__ import annotations

import dataclasses

from llactr.ctr import BackboneName, CTRData, CTRModel, EnhancementConfig, TrainingSet, ValueTables
from llactr.ctr.training.build import build_model
from llactr.evaluation.arms import Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.draws import Draw
from llactr.evaluation.histories import HistoryKey, arm_columns
from llactr.semantics import ValueVectors

__all__ = ["arm_enhancement", "arm_model", "arm_training_set", "arm_values"]


def arm_enhancement(arm: Arm, settings: EnhancementConfig) -> EnhancementConfig | None:
    """How field vectors act in an arm; None without any. An arm of one of FRE and FIE switches the other off."""
    if not arm.has_fields:
        return None
    if arm.fre and arm.fie:
        return settings
    return settings.model_copy(update={"fre": arm.fre, "fie": arm.fie})


def arm_values(arm: Arm, seed: int, draw: Draw) -> ValueVectors | None:
    """The value vectors of an arm, or the placebo's of that seed in their place; None for an arm without any."""
    if not arm.has_values:
        return None
    vectors = draw.values[arm.as_encoded]
    if arm.placebo is not None and arm.placebo.values is not None:
        return arm.placebo.values(vectors, seed, draw.texts)
    return vectors


def arm_training_set(arm: Arm, seed: int, training_set: TrainingSet) -> TrainingSet:
    """The training set with the arm's field vectors: its own, or the placebo's of that seed in their place."""
    if not arm.has_fields or arm.placebo is None or arm.placebo.fields is None:
        return training_set
    placebos = tuple(arm.placebo.fields(one, seed) for one in training_set.vectors)
    return dataclasses.replace(training_set, vectors=placebos)


def arm_model(
    draw: Draw,
    backbone: BackboneName,
    arm: Arm,
    seed: int,
    config: EvaluateConfig,
    *,
    history: HistoryKey | None = None,
) -> tuple[CTRModel, CTRData]:
    """A fresh model of an arm, and the rows that it reads.

    Models of one seed share initial weights and batches; a placebo is drawn by the seed, one of history by the draw.

    Args:
        draw: of the design.
        backbone: its name.
        arm: what the model is given.
        seed: of the weights and the batches.
        config: settings of the backbone and the vectors.
        history: which of the draw's histories the arm reads; None where it reads none.
    """
    training_set = draw.training_set
    vectors = arm_values(arm, seed, draw)
    tables = None
    if vectors is not None:
        tables = ValueTables.fit(training_set.transform, vectors, config.values, training_set.unseen)
    return build_model(
        arm_training_set(arm, seed, training_set),
        backbone,
        enhancement=arm_enhancement(arm, config.enhancement),
        settings=config.settings.get(backbone, {}),
        seed=seed,
        values=tables,
        history=None if history is None or arm.history is None else arm_columns(arm.history, draw.histories[history]),
    )
