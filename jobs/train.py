"""`llactr train`: builds the point-in-time training set and trains one backbone, plain or enhanced, into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llactr.ctr import (
    BackboneName,
    Bundle,
    CTRData,
    CTRModel,
    EnhancementConfig,
    EpochRecord,
    ModelConfig,
    TrainConfig,
    TrainingSet,
    TrainResult,
    ValuesConfig,
    ValueTables,
    measure,
    predict,
    train,
)
from llactr.ctr.training.cold_start import ColdStart
from llactr.errors import InputError
from llactr.jobs.config import TrainJobConfig
from llactr.jobs.encode_values import current_version
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import read_field_vectors, read_value_vectors, training_rows
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash, values_hash

__all__ = ["build_model", "describe", "join", "run"]


def join(job: Job, dataset: str) -> tuple[StepOutcome, TrainingSet]:
    """The dataset's point-in-time training set: joined, split, transformed and kept as an artifact."""
    spec = dataset_spec(job.workspace, dataset)

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 0, "point-in-time join")
        rows = training_rows(job.workspace, spec)
        built = TrainingSet.build(
            spec, rows, lambda version: read_field_vectors(job.workspace, dataset, version, spec.field_names)
        )
        built.save(draft)
        split = built.data.split
        advance(1, 1, f"{rows.num_rows:,} rows, {built.transform.layout.total_rows:,} features")
        return {
            "rows": rows.num_rows,
            "features": built.transform.layout.total_rows,
            "versions": [vectors.version for vectors in built.vectors],
            "split": {name: len(getattr(split, name)) for name in ("train", "validation", "test")},
        }

    outcome = job.step(
        "join",
        lambda key: job.workspace.artifact("training_sets", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config={},
        inputs={"dataset": dataset_hash(job.workspace, dataset), "releases": release_hash(job.workspace, dataset)},
        work=work,
        quiet=True,
    )
    return outcome, TrainingSet.load(outcome.folder)


def build_model(
    training_set: TrainingSet,
    backbone: BackboneName,
    *,
    enhancement: EnhancementConfig | None,
    settings: dict[str, Any],
    seed: int,
    values: ValueTables | None = None,
    cold: ColdStart | None = None,
) -> CTRModel:
    """A fresh model; without an enhancement it has no field vectors, without values no value vectors."""
    config = _checked(
        lambda: ModelConfig(backbone=backbone, settings=settings, enhancement=enhancement),  # type: ignore[arg-type]
        "settings",
    )
    field_vectors = training_set.field_vectors() if enhancement else None
    return CTRModel(config, training_set.transform.layout, field_vectors, values=values, cold=cold, seed=seed)


def value_tables(job: Job, spec: DatasetSpec, training_set: TrainingSet, config: ValuesConfig) -> ValueTables:
    """The value vectors encoded last, read from the offline store for the values of a training set."""
    version = current_version(job.workspace, spec.name)
    vectors = read_value_vectors(job.workspace, spec, version, training_set.values_wanted())
    return ValueTables.fit(training_set.transform, vectors, config, training_set.unseen)


def train_config(backbone: BackboneName, seed: int, changes: dict[str, Any]) -> TrainConfig:
    """The backbone's training defaults with changes."""
    return _checked(lambda: TrainConfig.of(backbone, **{**changes, "seed": seed}), "training")


def run(job: Job, dataset: str, config: TrainJobConfig) -> StepOutcome:
    """Trains one model and keeps it as a bundle, pinned to its semantics version.

    Raises:
        NotReadyError: a step that the arm needs has not been run.
    """
    spec = dataset_spec(job.workspace, dataset)
    if config.arm is None:
        encoded = "encode_values" in job.workspace.current(dataset)
        config = config.model_copy(update={"arm": "values" if encoded else "paper"})
    settings = train_config(config.backbone, config.seed, config.training)
    joined, training_set = join(job, dataset)
    inputs = {"training_set": joined.key}
    if config.arm in {"values", "both"}:
        inputs["values"] = values_hash(job.workspace, dataset, current_version(job.workspace, dataset))

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        tables = value_tables(job, spec, training_set, config.values) if "values" in inputs else None
        data = training_set.data if tables is None else training_set.with_values(tables)
        model = build_model(
            training_set,
            config.backbone,
            enhancement=config.enhancement if config.arm in {"paper", "both"} else None,
            settings=config.settings,
            seed=config.seed,
            values=tables,
            cold=ColdStart.of(spec, training_set.transform, config.cold_share),
        )

        def shown(record: EpochRecord) -> None:
            advance(record.epoch, 0, f"epoch {record.epoch}: validation AUC {record.validation_auc:.4f}")

        result = train(model, data, settings, progress=shown)
        metrics = _metrics(model, data, result)
        bundle = Bundle.of(
            model,
            spec=spec,
            transform=training_set.transform,
            vectors=training_set.current_vectors,
            metrics=metrics,
        )
        bundle.save(draft)
        advance(1, 1, f"{config.backbone} {config.arm}: test AUC {metrics['test']['auc']:.4f}")
        return {
            "backbone": config.backbone,
            "arm": config.arm,
            "semantics_version": bundle.version,
            "values_version": bundle.values.version if bundle.values else None,
            "metrics": metrics,
            "training": settings.model_dump(mode="json"),
            "curve": result.summary()["history"],
        }

    return job.step(
        "train",
        lambda key: job.workspace.artifact("bundles", f"{dataset}-{config.backbone}-{config.arm}-{key[:12]}"),
        dataset=dataset,
        config={**config.model_dump(mode="json"), "training": settings.model_dump(mode="json")},
        inputs=inputs,
        work=work,
    )


def _metrics(model: CTRModel, data: CTRData, result: TrainResult) -> dict[str, Any]:
    test = data.split.test
    scores = predict(model, data.ids[test], data.version[test])
    found = measure(data.label[test], scores)
    return {
        "validation": {"auc": result.validation.auc, "logloss": result.validation.logloss},
        "test": {"auc": found.auc, "logloss": found.logloss, "rows": found.rows, "clicks": found.clicks},
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "cpu_seconds": result.cpu_seconds,
    }


def _checked(make: Any, section: str) -> Any:
    from pydantic import ValidationError

    try:
        return make()
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"the configuration is not valid: {section}: {place}: {problem['msg']}") from None


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    test = facts["metrics"]["test"]
    return (
        f"{facts['backbone']} {facts['arm']}: test AUC {test['auc']:.4f}, logloss {test['logloss']:.4f} "
        f"on {test['rows']:,} rows, bundle {outcome.folder}"
    )
