"""`llactr train`: builds the point-in-time training set and trains one backbone, plain or enhanced, into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llactr.ctr import (
    Bundle,
    CTRData,
    CTRModel,
    EpochRecord,
    TrainingSet,
    TrainResult,
    ValuesConfig,
    ValueTables,
    measure,
    predict,
    train,
)
from llactr.ctr.training.build import build_model, train_config
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.join import join
from llactr.evaluation.arms import Arm
from llactr.evaluation.treatments import arm_enhancement
from llactr.jobs.config import TrainJobConfig
from llactr.jobs.encode_values import current_version
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import read_value_vectors
from llactr.store.ingested import dataset_spec, values_hash

__all__ = ["describe", "run"]


def value_tables(job: Job, spec: DatasetSpec, training_set: TrainingSet, config: ValuesConfig) -> ValueTables:
    """The value vectors encoded last, read from the offline store for the values of a training set."""
    version = current_version(job.workspace, spec.name)
    vectors = read_value_vectors(job.workspace, spec, version, training_set.values_wanted())
    return ValueTables.fit(training_set.transform, vectors, config, training_set.unseen)


def run(job: Job, dataset: str, config: TrainJobConfig) -> StepOutcome:
    """Trains one model and keeps it as a bundle, pinned to its semantics version.

    Raises:
        NotReadyError: a step that the arm needs has not been run.
    """
    spec = dataset_spec(job.workspace, dataset)
    arm = config.arm or Arm.parse("values" if "encode_values" in job.workspace.current(dataset) else "paper")
    config = config.model_copy(update={"arm": arm})
    settings = train_config(config.backbone, config.seed, config.training)
    joined, training_set = join(job, dataset)
    inputs = {"training_set": joined.key}
    if arm.has_values:
        inputs["values"] = values_hash(job.workspace, dataset, current_version(job.workspace, dataset))

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        tables = value_tables(job, spec, training_set, config.values) if "values" in inputs else None
        data = training_set.data if tables is None else training_set.with_values(tables)
        model = build_model(
            training_set,
            config.backbone,
            enhancement=arm_enhancement(arm, config.enhancement),
            settings=config.settings,
            seed=config.seed,
            values=tables,
        )
        cold = ColdStart.of(spec, training_set.transform, config.cold_share)

        def shown(record: EpochRecord) -> None:
            advance(record.epoch, 0, f"epoch {record.epoch}: validation AUC {record.validation_auc:.4f}")

        result = train(model, data, settings, progress=shown, cold=cold)
        metrics = _metrics(model, data, result)
        bundle = Bundle.of(
            model,
            spec=spec,
            transform=training_set.transform,
            vectors=training_set.current_vectors,
            metrics=metrics,
        )
        bundle.save(draft)
        advance(1, 1, f"{config.backbone} {arm}: test AUC {metrics['test']['auc']:.4f}")
        return {
            "backbone": config.backbone,
            "arm": str(arm),
            "semantics_version": bundle.version,
            "values_version": bundle.values.version if bundle.values else None,
            "metrics": metrics,
            "training": settings.model_dump(mode="json"),
            "curve": result.summary()["history"],
        }

    return job.step(
        "train",
        lambda key: job.workspace.artifact("bundles", f"{dataset}-{config.backbone}-{arm.file_name}-{key[:12]}"),
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


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    test = facts["metrics"]["test"]
    return (
        f"{facts['backbone']} {facts['arm']}: test AUC {test['auc']:.4f}, logloss {test['logloss']:.4f} "
        f"on {test['rows']:,} rows, bundle {outcome.folder}"
    )
