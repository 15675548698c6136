"""A fresh model of a training set, and a backbone's training defaults with changes; bad settings are refused."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from llactr.ctr.config import BackboneName, EnhancementConfig, ModelConfig, TrainConfig
from llactr.ctr.model import CTRModel
from llactr.ctr.training.training_set import TrainingSet
from llactr.ctr.values.embedding import ValueTables
from llactr.errors import InputError
from llactr.validation import problems

__all__ = ["build_model", "train_config"]


def build_model(
    training_set: TrainingSet,
    backbone: BackboneName,
    *,
    enhancement: EnhancementConfig | None,
    settings: dict[str, Any],
    seed: int,
    values: ValueTables | None = None,
) -> CTRModel:
    """A fresh model; without an enhancement it has no field vectors, without values no value vectors."""
    config = _checked(
        lambda: ModelConfig(backbone=backbone, settings=settings, enhancement=enhancement),  # type: ignore[arg-type]
        "settings",
        ModelConfig,
    )
    field_vectors = training_set.field_vectors() if enhancement else None
    return CTRModel(config, training_set.transform.layout, field_vectors, values=values, seed=seed)


def train_config(backbone: BackboneName, seed: int, changes: dict[str, Any]) -> TrainConfig:
    """The backbone's training defaults with changes."""
    return _checked(lambda: TrainConfig.of(backbone, **{**changes, "seed": seed}), "training", TrainConfig)


def _checked(make: Any, section: str, model: type[BaseModel]) -> Any:
    try:
        return make()
    except ValidationError as error:
        raise InputError(f"the configuration is not valid: {problems(error, model, prefix=section)}") from None
