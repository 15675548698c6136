"""`llactr tune`: searches an arm's settings on the validation split; stopped at any moment, it goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from llactr.ctr import CTRData, CTRModel, ModelConfig, Split, TrainingSet, train
from llactr.ctr.search.space import SearchConfig, TunedSettings, dimensions
from llactr.ctr.search.study import JOURNAL, Study, Trial, TrialScore
from llactr.ctr.training.build import train_config
from llactr.ctr.training.join import join
from llactr.ctr.values.embedding import ValueTables
from llactr.errors import InputError, StepError
from llactr.jobs.config import TrainJobConfig
from llactr.jobs.encode_values import current_version
from llactr.manifest import content_hash, write_manifest
from llactr.semantics.values import ValueVectors
from llactr.steps import Job, StepOutcome
from llactr.store import read_value_vectors
from llactr.store.ingested import dataset_spec, values_hash

__all__ = ["BEST", "describe", "run", "search_config"]

BEST = "best.yaml"


def run(job: Job, dataset: str, config: SearchConfig) -> StepOutcome:
    """Brings the search of an arm to so many trials, and writes the best settings for `--config`.

    The search is named by everything but the number of trials: asking for more goes on. Rows of the test split are cut
    off before anything is trained.
    """
    spec = dataset_spec(job.workspace, dataset)
    train_config(config.backbone, 0, config.training)  # refuses bad settings before the join
    joined, training_set = join(job, dataset)
    version = current_version(job.workspace, dataset) if config.has_value_vectors else None
    inputs = {"training_set": joined.key}
    if version:
        inputs["values"] = values_hash(job.workspace, dataset, version)
    fixed = config.model_dump(mode="json", exclude={"trials"}) | {"inputs": inputs}
    name = f"{dataset}-{config.backbone}-{config.arm}-{content_hash(fixed)[:12]}"
    folder = job.workspace.artifact("searches", name)
    key = content_hash({"study": fixed, "trials": config.trials})
    with job.measured("tune", dataset=dataset, folder=folder) as step:
        if step.unchanged(key):
            return step.outcome
        if job.force:
            (folder / JOURNAL).unlink(missing_ok=True)
        known = read_value_vectors(job.workspace, spec, version, training_set.values_wanted()) if version else None
        study = Study(folder, dimensions(config), seed=config.seed)

        def objective(values: Mapping[str, float]) -> TrialScore:
            return score(config, TunedSettings.of(config, values), training_set, known)

        def shown(trial: Trial) -> None:
            best = study.best.score.auc if study.best and study.best.score else float("nan")
            step.advance(trial.number + 1, config.trials, f"best validation AUC {best:.4f}")

        study.run(objective, trials=config.trials, first=TunedSettings.defaults(config), progress=shown)
        result = _result(dataset, config, study)
        best = result["best"]["values"]
        (folder / BEST).write_text(yaml.safe_dump(best_config(config, best), sort_keys=False), encoding="utf-8")
        write_manifest(folder, step="tune", key=key, config=config.model_dump(mode="json"), inputs=inputs)
        gain = result["best"]["auc"] - (result["trials"][0]["auc"] or float("nan"))
        step.done(result, f"validation AUC {result['best']['auc']:.4f}, {gain:+.4f} over the defaults")
    return step.outcome


def search_config(base: TrainJobConfig, flags: dict[str, Any]) -> SearchConfig:
    """A search around a training configuration; a flag that is None was not given.

    Raises:
        InputError: a flag is out of range.
    """
    shared = {name: getattr(base, name) for name in ("backbone", "settings", "training", "enhancement", "values")}
    shared |= {"arm": str(base.arm)} if base.arm else {}
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return SearchConfig.model_validate({**shared, **given})
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"the search is not valid: {place}: {problem['msg']}") from None


def without_test(data: CTRData) -> CTRData:
    """The training and validation rows alone: nothing that is handed this can read the test split."""
    train_rows, validation_rows = data.split.train, data.split.validation
    rows = np.concatenate([train_rows, validation_rows])
    first = len(train_rows)
    split = Split(np.arange(first), np.arange(first, len(rows)), np.arange(0))
    return CTRData(data.ids[rows], data.label[rows], data.version[rows], split)


def score(
    config: SearchConfig,
    settings: TunedSettings,
    training_set: TrainingSet,
    known: ValueVectors | None,
) -> TrialScore:
    """Validation metrics of some settings, mean over the config's seeds.

    Args:
        config: what is the same in all trials.
        settings: what this one tries.
        training_set: its test split is cut off before anything is trained.
        known: value vectors, where the arm has them.

    Raises:
        StepError: the loss was not finite.
    """
    model_config = ModelConfig(
        backbone=config.backbone,
        settings=config.settings,  # type: ignore[arg-type]
        enhancement=settings.enhancement,
    )
    vectors = training_set.field_vectors() if settings.enhancement else None
    values, data = None, training_set.data
    if settings.values and known:
        values = ValueTables.fit(training_set.transform, known, settings.values, training_set.unseen)
        data = training_set.with_values(values)
    data = without_test(data)
    results = []
    for seed in range(config.seed, config.seed + config.seeds):
        model = CTRModel(model_config, training_set.transform.layout, vectors, values=values, seed=seed)
        results.append(train(model, data, train_config(config.backbone, seed, settings.training)))
    return TrialScore(
        auc=float(np.mean([result.validation.auc for result in results])),
        logloss=float(np.mean([result.validation.logloss for result in results])),
        seconds=round(sum(result.cpu_seconds for result in results), 3),
    )


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


def _result(dataset: str, config: SearchConfig, study: Study) -> dict[str, Any]:
    best = study.best
    if best is None:
        raise StepError(
            f"none of {len(study.trials)} trials reached a finite loss: give a smaller batch_size or other 'training'"
        )
    return {
        "dataset": dataset,
        "backbone": config.backbone,
        "arm": config.arm,
        "seeds": config.seeds,
        "dimensions": [{"name": one.name, "log": one.log, "whole": one.whole} for one in dimensions(config)],
        "trials": [trial.as_json() for trial in study.trials],
        "best": best.as_json(),
    }


def describe(outcome: StepOutcome) -> str:
    """The best settings, what they reach, and how to use them."""
    facts = outcome.result
    best, first = facts["best"], facts["trials"][0]
    values = ", ".join(f"{name} {value:.3g}" for name, value in best["values"].items())
    defaults = f"{first['auc']:.4f}" if first["auc"] is not None else "a loss that is not finite"
    return (
        f"{facts['backbone']} {facts['arm']}: validation AUC {best['auc']:.4f} in trial {best['number']} of "
        f"{len(facts['trials'])} (defaults: {defaults})\n  {values}\n"
        f"  use them: llactr train --config {outcome.folder / BEST}"
    )
