"""The step that trains one model on the point-in-time training set and keeps it as a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.ctr.bundle import Bundle
from llactr.ctr.config import BackboneName, TrainConfig, ValuesConfig
from llactr.ctr.metrics import calibration_error, logloss, measure
from llactr.ctr.model import CTRModel, predict
from llactr.ctr.soundness import SoundnessFacts, doubts, too_good, unproven
from llactr.ctr.training.build import build_model, train_config
from llactr.ctr.training.calibrated import RULE
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.config import TrainJobConfig, enhancement_of, has_values, history_arm
from llactr.ctr.training.data import CTRData, Split
from llactr.ctr.training.history import RowHistory, history_of
from llactr.ctr.training.join import join
from llactr.ctr.training.step import Moments
from llactr.ctr.training.trainer import EpochRecord, TrainResult, train
from llactr.ctr.training.training_set import TrainingSet
from llactr.ctr.training.warm.state import TrainedState, TrainingFacts
from llactr.ctr.values.embedding import ValueTables
from llactr.history import HistoryDefinition
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome, StepResult
from llactr.store import events_table, read_value_vectors
from llactr.store.history import write_states
from llactr.store.ingested import dataset_hash, dataset_spec, values_hash
from llactr.store.vectors.summaries import current_values_version
from llactr.workspace import Workspace

__all__ = [
    "HeldOutMetrics",
    "TestMetrics",
    "TrainMetrics",
    "TrainSummary",
    "Trained",
    "bundle_place",
    "fresh_model",
    "kept_bundle",
    "model_facts",
    "resolved_arm",
    "train_bundle",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeldOutMetrics(_Model):
    """Metrics of the validation split, at the epoch whose weights were kept."""

    auc: float | None
    logloss: float | None


class TestMetrics(HeldOutMetrics):
    """Metrics of the test split.

    `constant_logloss` is that of the training rows' click rate, `expected_clicks` the sum of the scores, `ece` the
    calibration error: what `llactr.ctr.soundness` reads.
    """

    __test__ = False  # no test of pytest's

    rows: int
    clicks: int
    ece: float
    constant_logloss: float
    expected_clicks: float


class TrainMetrics(_Model):
    """What training measured; a bundle holds it too."""

    validation: HeldOutMetrics
    test: TestMetrics
    epochs: int
    best_epoch: int
    cpu_seconds: float


class TrainSummary(StepResult):
    """A bundle: what it uses, the versions that it is pinned to, its metrics, and how training went, by epoch.

    Attributes:
        history_notes: what of the past could not be read, in sentences.
        base: the bundle that training went on from; None where it began anew.
        new_rows: of the training rows those that `base` had not been trained on; None where it began anew.
        replayed_rows: the others.
        state_bytes: what lies beside the bundle for a training to go on from (`llactr.ctr.training.warm`).
    """

    backbone: BackboneName
    arm: str
    semantics_version: str
    values_version: str | None
    history_version: str | None
    metrics: TrainMetrics
    training: TrainConfig
    curve: tuple[EpochRecord, ...]
    history_notes: tuple[str, ...] = ()
    base: str | None = None
    new_rows: int | None = None
    replayed_rows: int | None = None
    state_bytes: int | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against serving it; see `llactr.ctr.soundness`."""
        return doubts(self._facts)

    @property
    def unproven(self) -> str:
        """That too few clicks cannot tell it from chance; empty where they can."""
        return unproven(self._facts)

    @property
    def too_good(self) -> str:
        """That a column is likely to know the label; empty where nothing says so."""
        return too_good(self._facts)

    @property
    def _facts(self) -> SoundnessFacts:
        return SoundnessFacts.model_validate(self.metrics.test.model_dump())


def train_bundle(job: Job, dataset: str, config: TrainJobConfig) -> StepOutcome[TrainSummary]:
    """Trains one model and keeps it as a bundle, pinned to its semantics version.

    Raises:
        NotReadyError: a step that the arm needs has not been run.
        InputError: the settings do not fit the backbone.
        DataError: the test split holds one class, which nothing can be measured on.
    """
    spec = dataset_spec(job.workspace, dataset)
    config = resolved_arm(job.workspace, dataset, config)
    arm = str(config.arm)
    settings = train_config(config.backbone, config.seed, config.training, arm=arm)
    joined, training_set = join(job, dataset)
    training_set.data.check_test_split()
    inputs = {"training_set": joined.key}
    if has_values(arm):
        inputs["values"] = values_hash(job.workspace, dataset, current_values_version(job.workspace, dataset))
    past, history = history_arm(arm), None
    notes: tuple[str, ...] = ()
    if past is not None:
        made, history = history_of(job, dataset, past, joined=joined.key, training_set=training_set)
        inputs["history"], notes = made.key, made.result.notes

    def work(draft: Path, advance: Advance) -> TrainSummary:
        def shown(record: EpochRecord) -> None:
            advance(record.epoch, 0, f"epoch {record.epoch}: validation AUC {record.validation_auc:.4f}")

        model, data = fresh_model(job.workspace, spec, training_set, config, arm, history)
        cold, moments = ColdStart.of(spec, training_set.transform, config.cold_share), Moments()
        result = train(model, data, settings, progress=shown, cold=cold, moments=moments)
        facts = facts_of(job.workspace, spec, data.split, config)
        made = kept_bundle(
            draft,
            Trained(model, data, training_set, config, settings, result),
            spec=spec,
            history=None if history is None else history.definition,
            state=TrainedState(facts, moments.tensors),
        )
        advance(1, 1, f"{config.backbone} {arm}: test AUC {made.metrics.test.auc:.4f}")
        return made.model_copy(update={"history_notes": notes})

    outcome = job.step(
        Step.TRAIN,
        lambda key: bundle_place(job.workspace, dataset, config, key),
        dataset=dataset,
        config={
            **config.model_dump(mode="json"),
            "training": settings.model_dump(mode="json"),
            "calibrated": RULE,
        },
        inputs=inputs,
        result=TrainSummary,
        work=work,
    )
    if history is not None:
        with job.terminal.step("states") as advance:
            written = write_states(job.workspace, spec, history.definition)
            advance(1, 1, f"{written.states:,} states of {written.events:,} events")
    return outcome


def resolved_arm(workspace: Workspace, dataset: str, config: TrainJobConfig) -> TrainJobConfig:
    """The configuration with an arm: where none was asked for, `values` if these have been encoded, else `paper`."""
    arm = config.arm or ("values" if Step.ENCODE_VALUES in workspace.current(dataset) else "paper")
    return config.model_copy(update={"arm": arm})


def bundle_place(workspace: Workspace, dataset: str, config: TrainJobConfig, key: str) -> Path:
    """The folder of a bundle; its name is the bundle's id."""
    arm = str(config.arm).replace(" ", "_")
    return workspace.artifact("bundles", f"{dataset}-{config.backbone}-{arm}-{key[:12]}")


@dataclass(frozen=True)
class Trained:
    """A model that has been trained, and what it was made of."""

    model: CTRModel
    data: CTRData
    training_set: TrainingSet
    config: TrainJobConfig
    settings: TrainConfig
    result: TrainResult


def kept_bundle(
    draft: Path,
    made: Trained,
    *,
    spec: DatasetSpec,
    history: HistoryDefinition | None,
    state: TrainedState,
) -> TrainSummary:
    """Measures a trained model and writes its bundle, with the training state beside it, into a folder."""
    metrics = _metrics(made.model, made.data, made.result)
    bundle = Bundle.of(
        made.model,
        spec=spec,
        transform=made.training_set.transform,
        vectors=made.training_set.current_vectors,
        metrics=metrics.model_dump(mode="json"),
        history=history,
    )
    bundle.save(draft)
    return TrainSummary(
        backbone=made.config.backbone,
        arm=str(made.config.arm),
        semantics_version=bundle.version,
        values_version=bundle.values.version if bundle.values else None,
        history_version=bundle.history.version if bundle.history else None,
        metrics=metrics,
        training=made.settings,
        curve=made.result.history,
        state_bytes=state.save(draft),
    )


def facts_of(workspace: Workspace, spec: DatasetSpec, split: Split, config: TrainJobConfig) -> TrainingFacts:
    """What a training on the events as they are now leaves for another one to know."""
    times = events_table(workspace, spec)[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return TrainingFacts(
        until_us=int(times[split.train[-1]]),
        history_before_us=int(times[split.validation[0]]),
        tables=dataset_hash(workspace, spec.name),
        base=None,
        config=model_facts(config),
    )


def model_facts(config: TrainJobConfig) -> dict[str, Any]:
    """What of a configuration says which model it is."""
    kept = {"backbone", "arm", "settings", "enhancement", "values", "cold_share"}
    return config.model_dump(mode="json", include=kept)


def fresh_model(
    workspace: Workspace,
    spec: DatasetSpec,
    training_set: TrainingSet,
    config: TrainJobConfig,
    arm: str,
    history: RowHistory | None,
) -> tuple[CTRModel, CTRData]:
    """A fresh model of an arm, and the rows that it reads."""
    tables = None
    if has_values(arm):
        tables = _value_tables(workspace, spec, training_set, config.values)
    return build_model(
        training_set,
        config.backbone,
        enhancement=enhancement_of(arm, config.enhancement),
        settings=config.settings,
        seed=config.seed,
        values=tables,
        history=history,
    )


def _value_tables(
    workspace: Workspace, spec: DatasetSpec, training_set: TrainingSet, config: ValuesConfig
) -> ValueTables:
    """The value vectors encoded last, read from the offline store for the values of a training set."""
    version = current_values_version(workspace, spec.name)
    vectors = read_value_vectors(workspace, spec, version, training_set.values_wanted())
    return ValueTables.fit(training_set.transform, vectors, config, training_set.unseen)


def _metrics(model: CTRModel, data: CTRData, result: TrainResult) -> TrainMetrics:
    test = data.split.test
    label, scores = data.label[test], predict(model, data.ids[test], data.version[test])
    found = measure(label, scores)
    constant = np.full(len(test), data.label[data.split.train].mean(), np.float32)
    return TrainMetrics(
        validation=HeldOutMetrics(auc=result.validation.auc, logloss=result.validation.logloss),
        test=TestMetrics(
            auc=found.auc,
            logloss=found.logloss,
            rows=found.rows,
            clicks=found.clicks,
            ece=calibration_error(label, scores),
            constant_logloss=logloss(label, constant),
            expected_clicks=float(scores.sum(dtype=np.float64)),
        ),
        epochs=len(result.history),
        best_epoch=result.best_epoch,
        cpu_seconds=result.cpu_seconds,
    )
