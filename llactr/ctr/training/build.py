"""A fresh model of a training set, and a backbone's training defaults with changes; bad settings are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import BaseModel, ValidationError

from llactr.ctr.config import BackboneName, EnhancementConfig, ModelConfig, TrainConfig
from llactr.ctr.history import with_history
from llactr.ctr.history_arms import history_input
from llactr.ctr.model import CTRModel
from llactr.ctr.training.config import reads_a_person
from llactr.ctr.training.data import CTRData
from llactr.ctr.training.history import RowHistory
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
    history: RowHistory | None = None,
) -> tuple[CTRModel, CTRData]:
    """A fresh model and the rows that it reads; without an enhancement it has no field vectors, and so on.

    History numbers are standardised by the training rows.
    """
    past = None if history is None else history_input(history.definition.spec)
    config = _checked(
        lambda: ModelConfig(
            backbone=backbone,
            settings=settings,  # type: ignore[arg-type]
            enhancement=enhancement,
            history=past,
        ),
        "settings",
        ModelConfig,
    )
    field_vectors = training_set.field_vectors() if enhancement else None
    model = CTRModel(config, training_set.transform.layout, field_vectors, values=values, seed=seed)
    data = training_set.data if values is None else training_set.with_values(values)
    if history is not None and model.history is not None:
        model.history.fit(history.numbers[data.split.train])
        data = dataclasses.replace(data, ids=with_history(data.ids, history.numbers))
    return model, data


def train_config(backbone: BackboneName, seed: int, changes: dict[str, Any], *, arm: str) -> TrainConfig:
    """The training defaults of a backbone's arm, with changes."""
    given = {**changes, "reads_a_person": reads_a_person(arm), "seed": seed}
    return _checked(lambda: TrainConfig.of(backbone, **given), "training", TrainConfig)


def _checked(make: Any, section: str, model: type[BaseModel]) -> Any:
    try:
        return make()
    except ValidationError as error:
        raise InputError(f"the configuration is not valid: {problems(error, model, prefix=section)}") from None
