"""The model of a warm training: what it begins with, how it is trained on, and the bundle that it becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from llactr.ctr.config import TrainConfig
from llactr.ctr.model import CTRModel
from llactr.ctr.training.build import build_model
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.config import TrainJobConfig, enhancement_of, has_values
from llactr.ctr.training.data import CTRData
from llactr.ctr.training.fit import Trained, TrainSummary, kept_bundle
from llactr.ctr.training.history import RowHistory
from llactr.ctr.training.step import Moments
from llactr.ctr.training.trainer import EpochRecord, train
from llactr.ctr.training.training_set import TrainingSet
from llactr.ctr.training.warm.config import WarmConfig
from llactr.ctr.training.warm.new_values import train_new_values
from llactr.ctr.training.warm.rows import WarmRows
from llactr.ctr.training.warm.start import WarmBase, moved_moments, take_over
from llactr.ctr.training.warm.state import TrainedState, TrainingFacts
from llactr.ctr.values.embedding import ValueTables
from llactr.history import Events, history_rows
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.store import read_value_vectors
from llactr.workspace import Workspace

__all__ = ["grown_set", "kept_warm", "warm_model", "warm_settings"]


def kept_warm(
    draft: Path,
    base: WarmBase,
    training_set: TrainingSet,
    rows: WarmRows,
    config: TrainJobConfig,
    settings: TrainConfig,
    facts: TrainingFacts,
    *,
    workspace: Workspace,
    spec: DatasetSpec,
    warm: WarmConfig,
    known: Events | None,
    progress: Callable[[EpochRecord], None] | None = None,
) -> TrainSummary:
    """Trains on from a bundle and writes the new bundle into a folder.

    Args:
        draft: the folder.
        base: the bundle.
        training_set: of `rows`, as `grown_set` makes it.
        rows: which of the events these are.
        config: the model, with an arm.
        settings: see `warm_settings`.
        facts: what the new bundle says of its training.
        workspace: where value vectors are.
        spec: of the dataset.
        warm: how often new values are trained by themselves.
        known: all events so far, for a model that reads history; None for another.
        progress: called after each epoch.
    """
    definition, history = base.bundle.history, None
    if definition is not None and known is not None:
        mine = known.take(rows.places)
        frozen = mine.time >= facts.history_before_us
        history = RowHistory(definition, history_rows(definition, known, mine, frozen=frozen))
    values = _value_tables(workspace, spec, training_set, base) if has_values(str(config.arm)) else None
    model, data, moments = warm_model(base, training_set, config, values=values, history=history)
    own = training_set.transform
    train_new_values(
        model,
        data,
        settings,
        rows=data.split.train[rows.new],
        known=own.rows_in(base.bundle.transform) >= 0,
        passes=warm.new_value_passes,
    )
    cold = ColdStart.of(spec, own, config.cold_share)
    result = train(model, data, settings, progress=progress, cold=cold, moments=moments)
    made = kept_bundle(
        draft,
        Trained(model, data, training_set, config, settings, result),
        spec=spec,
        history=definition,
        state=TrainedState(facts, moments.tensors),
    )
    counts = {"base": base.name, "new_rows": rows.new_count, "replayed_rows": len(rows.new) - rows.new_count}
    return made.model_copy(update=counts)


def warm_settings(settings: TrainConfig, warm: WarmConfig) -> TrainConfig:
    """How a warm training is trained: so many passes, whatever patience says; the output's shift is there already."""
    changes = {"max_epochs": warm.epochs, "patience": warm.epochs, "min_steps": 0, "prior": "off"}
    return TrainConfig.model_validate({**settings.model_dump(), **changes})


def grown_set(
    base: WarmBase, spec: DatasetSpec, table: pa.Table, rows: WarmRows, vectors_of: Callable[[str], FieldVectors]
) -> TrainingSet:
    """The training set of joined rows (M), with the bundle's vocabularies grown by the new ones."""
    train = table.slice(0, len(rows.new)).filter(pa.array(rows.new))
    return TrainingSet.of(
        spec,
        table,
        vectors_of,
        split=rows.split,
        transform=base.bundle.transform.grown(train),
    )


def warm_model(
    base: WarmBase,
    training_set: TrainingSet,
    config: TrainJobConfig,
    *,
    values: ValueTables | None,
    history: RowHistory | None,
) -> tuple[CTRModel, CTRData, Moments]:
    """A model with the bundle's weights and moments in the rows of the same values, and the rows that it reads."""
    model, data = build_model(
        training_set,
        config.backbone,
        enhancement=enhancement_of(str(config.arm), config.enhancement),
        settings=config.settings,
        seed=config.seed,
        values=values,
        history=history,
    )
    own, other = training_set.transform, base.bundle.transform
    take_over(model, base.weights, own=own, other=other)
    return model, data, Moments(moved_moments(base.state.moments, own=own, other=other))


def _value_tables(workspace: Workspace, spec: DatasetSpec, training_set: TrainingSet, base: WarmBase) -> ValueTables:
    """Value vectors of all values, placed as the bundle places them."""
    known = base.bundle.values
    assert known is not None
    vectors = read_value_vectors(workspace, spec, known.version, training_set.values_wanted())
    pcas = {name: field.pca for name, field in known.fields.items()}
    made = ValueTables.fit(training_set.transform, vectors, known.config, training_set.unseen, pcas)
    by_name = {field.name: field for field in made.fields}
    return dataclasses.replace(made, fields=tuple(by_name[name] for name in known.fields))
