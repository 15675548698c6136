"""The step that searches an arm's settings on the validation split; stopped at any moment, it goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from llactr.atomic import write_text
from llactr.ctr.search.objective import score
from llactr.ctr.search.space import SearchConfig, TunedArm, TunedSettings, dimensions
from llactr.ctr.search.study import JOURNAL, Study, Trial, TrialScore
from llactr.ctr.training.build import train_config
from llactr.ctr.training.config import TrainJobConfig, has_values, history_arm
from llactr.ctr.training.history import RowHistory, history_of
from llactr.ctr.training.join import join
from llactr.ctr.training.training_set import TrainingSet
from llactr.errors import StepError
from llactr.manifest import content_hash, write_manifest
from llactr.semantics.values import ValueVectors
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome, StepResult
from llactr.store import read_value_vectors
from llactr.store.ingested import dataset_spec, values_hash
from llactr.store.vectors.summaries import current_values_version

__all__ = ["BEST", "SearchedDimension", "TrialSummary", "TuneSummary", "best_config", "tune_dataset"]

BEST = "best.yaml"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchedDimension(_Model):
    """A setting that was searched; see `llactr.ctr.search.space.Dimension`."""

    name: str
    log: bool
    whole: bool


class TrialSummary(_Model):
    """A finished trial: a value for each dimension, and its validation metrics; None where the loss was not finite."""

    number: int
    values: dict[str, int | float]
    auc: float | None
    logloss: float | None
    seconds: float | None


class TuneSummary(StepResult):
    """A search: the dimensions, all trials in their order (trial 0 has the defaults), and the best of them."""

    dataset: str
    backbone: str
    arm: TunedArm
    seeds: int
    dimensions: tuple[SearchedDimension, ...]
    trials: tuple[TrialSummary, ...]
    best: TrialSummary


def tune_dataset(job: Job, dataset: str, config: SearchConfig) -> StepOutcome[TuneSummary]:
    """Brings the search of an arm to so many trials, and writes the best settings for `--config`.

    The search is named by everything but the number of trials: asking for more goes on. Rows of the test split are cut
    off before anything is trained.

    Raises:
        NotReadyError: a step that the arm needs has not been run.
        StepError: no trial reached a finite loss.
    """
    spec = dataset_spec(job.workspace, dataset)
    train_config(config.backbone, 0, config.training, arm=config.arm)  # refuses bad settings before the join
    joined, training_set = join(job, dataset)
    version = current_values_version(job.workspace, dataset) if has_values(config.arm) else None
    inputs = {"training_set": joined.key}
    if version:
        inputs["values"] = values_hash(job.workspace, dataset, version)
    past, history = history_arm(config.arm), None
    if past is not None:
        read, history = history_of(job, dataset, past, joined=joined.key, training_set=training_set)
        inputs["history"] = read.key
    fixed = config.model_dump(mode="json", exclude={"trials"}) | {"inputs": inputs}
    name = f"{dataset}-{config.backbone}-{config.arm.replace(' ', '_')}-{content_hash(fixed)[:12]}"
    folder = job.workspace.artifact("searches", name)
    key = content_hash({"study": fixed, "trials": config.trials})
    with job.measured(Step.TUNE, TuneSummary, dataset=dataset, folder=folder) as step:
        if step.unchanged(key):
            return step.outcome
        if job.force:
            (folder / JOURNAL).unlink(missing_ok=True)
        study = _searched(job, spec, config, training_set, version, history, folder, step.advance)
        made = _summary(dataset, config, study)
        best = best_config(config, made.best.values)
        write_text(folder / BEST, yaml.safe_dump(best, sort_keys=False))
        write_manifest(folder, step=Step.TUNE, key=key, config=config.model_dump(mode="json"), inputs=inputs)
        step.done(made, _note(made))
    return step.outcome


def best_config(config: SearchConfig, values: Mapping[str, float]) -> dict[str, Any]:
    """The settings as a configuration file: `llactr train --config` and `llactr evaluate --config` take it."""
    found = TunedSettings.of(config, values)
    backbone = config.backbone
    enhancement = {"enhancement": found.enhancement.model_dump()} if found.enhancement else {}
    chosen: dict[str, Any] = {"backbone": backbone, "arm": config.arm, "training": found.training, **enhancement}
    if found.values:
        chosen["values"] = found.values.model_dump()
    if config.settings:
        chosen["settings"] = config.settings
    known = TrainJobConfig.model_fields
    evaluate = {"backbones": [backbone], "training": {backbone: found.training}, **enhancement}
    if found.values:
        evaluate["values"] = found.values.model_dump()
    if config.settings:
        evaluate["settings"] = {backbone: config.settings}
    return {"train": {name: value for name, value in chosen.items() if name in known}, "evaluate": evaluate}


def _searched(
    job: Job,
    spec: DatasetSpec,
    config: SearchConfig,
    training_set: TrainingSet,
    version: str | None,
    history: RowHistory | None,
    folder: Path,
    advance: Advance,
) -> Study:
    """The study, brought to so many trials."""
    known: ValueVectors | None = None
    if version:
        known = read_value_vectors(job.workspace, spec, version, training_set.values_wanted())
    study = Study(folder, dimensions(config), seed=config.seed)

    def objective(values: Mapping[str, float]) -> TrialScore:
        return score(config, TunedSettings.of(config, values), training_set, known, history)

    def shown(trial: Trial) -> None:
        best = study.best.score.auc if study.best and study.best.score else float("nan")
        advance(trial.number + 1, config.trials, f"best validation AUC {best:.4f}")

    study.run(objective, trials=config.trials, first=TunedSettings.defaults(config), progress=shown)
    return study


def _summary(dataset: str, config: SearchConfig, study: Study) -> TuneSummary:
    if study.best is None:
        raise StepError(
            f"none of {len(study.trials)} trials reached a finite loss: give a smaller batch_size or other 'training'"
        )
    return TuneSummary(
        dataset=dataset,
        backbone=config.backbone,
        arm=config.arm,
        seeds=config.seeds,
        dimensions=tuple(SearchedDimension(name=one.name, log=one.log, whole=one.whole) for one in dimensions(config)),
        trials=tuple(TrialSummary.model_validate(trial.as_json()) for trial in study.trials),
        best=TrialSummary.model_validate(study.best.as_json()),
    )


def _note(made: TuneSummary) -> str:
    best, first = made.best.auc or float("nan"), made.trials[0].auc or float("nan")
    return f"validation AUC {best:.4f}, {best - first:+.4f} over the defaults"
