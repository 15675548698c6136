"""`llactr run`: all steps, from the data to the report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llactr.ctr.training.config import has_values
from llactr.errors import InputError
from llactr.evaluation.arms import Arm
from llactr.evaluation.choice import Choice
from llactr.evaluation.rows import refuse_one_class_splits
from llactr.jobs import (
    check,
    diagnose,
    encode,
    encode_values,
    evaluate,
    finetune,
    ingest,
    materialize,
    train,
    tune_values,
)
from llactr.lifecycle.config import RunConfig
from llactr.semantics.tuning.likes import item_text_field
from llactr.spec import DatasetSpec, find_spec, load_spec
from llactr.steps import Job, Step, StepOutcome, StepResult
from llactr.store.ingested import dataset_spec
from llactr.store.vectors.tuning import why_untuned

__all__ = ["CHECKED_ROWS", "describe", "run"]

CHECKED_ROWS = 1000


def run(job: Job, spec: str, config: RunConfig, *, data_folder: Path | None = None) -> dict[str, Any]:
    """Ingest, finetune, encode, apply, choose, train, materialize, evaluate, check online against offline, diagnose.

    Where the spec gives values a text they are encoded too; the encoder is tuned for them first only if the
    configuration asks for it, and there are likes enough (docs/values.md has why). The arm that is served is chosen on
    validation, unless the configuration names one, and is what the evaluation is about.

    Raises:
        ConsistencyError: online and offline disagree.
    """
    started = time.perf_counter()
    _refuse_what_cannot_work(load_spec(find_spec(spec)), config)
    ingested = ingest.run(job, spec, data_folder=data_folder)
    dataset = ingested.result.dataset
    outcomes: list[StepOutcome[StepResult]] = [ingested, *_semantics(job, dataset, config)]
    outcomes.append(applied := materialize.apply(job))
    choice = _choice(job, dataset, config, outcomes)
    outcomes.append(trained := train.run(job, dataset, config.train.model_copy(update={"arm": str(choice.served)})))
    if trained.result.history_version is not None:
        # Again: training has written states of history, which are views of their own.
        outcomes[outcomes.index(applied)] = materialize.apply(job)
    outcomes.append(materialize.materialize(job))
    evaluated = evaluate.run(job, dataset, config.judged.with_arm(choice.served), semantics=config.values)
    checked = check.check_store(job, dataset, bundle=str(trained.folder), rows=CHECKED_ROWS)
    report = diagnose.run(job, dataset, device="auto")
    outcomes += [evaluated, checked, report]
    return {
        "dataset": dataset,
        "seconds": round(time.perf_counter() - started, 1),
        "bundle": str(trained.folder),
        "report": report.result.report,
        "served": str(choice.served),
        "doubts": list(trained.result.doubts),
        "unproven": trained.result.unproven,
        "too_good": trained.result.too_good,
        "choice": evaluate.describe_choice(choice),
        "comparison": evaluate.describe(evaluated, slices=False, served=choice.served),
        "check": check.describe_store(checked),
        "steps": [outcome.as_json() for outcome in outcomes],
    }


def _choice(job: Job, dataset: str, config: RunConfig, outcomes: list[StepOutcome[StepResult]]) -> Choice:
    """The arm that is served: the one that was asked for, else chosen on validation."""
    backbone = config.train.backbone
    if config.train.arm is not None:
        return Choice.given(backbone, Arm.parse(config.train.arm))
    chosen = evaluate.choose(job, dataset, config.judged, backbone=backbone, semantics=config.values)
    outcomes.append(chosen)
    return chosen.result


def _semantics(job: Job, dataset: str, config: RunConfig) -> Iterator[StepOutcome[StepResult]]:
    """Tunes and encodes, the values too where the spec gives them texts; nothing, where no model could be judged.

    Raises:
        DataError: the training, validation or test rows have clicks only, or none.
    """
    refuse_one_class_splits(job.workspace, dataset_spec(job.workspace, dataset))
    if config.semantics.tune:
        yield finetune.run(job, dataset, config.semantics)
    yield encode.run(job, dataset, config.semantics, untuned=False, effective_from="start")
    spec = dataset_spec(job.workspace, dataset)
    if spec.text_fields:
        asked = _tuning_is_asked_for(config)
        reason = why_untuned(job.workspace, spec, config.values) if asked else "it was not asked for"
        if not reason:
            yield tune_values.run(job, dataset, config.values)
        elif asked:
            with job.terminal.step(Step.TUNE_VALUES) as advance:
                advance(1, 1, f"left out, the encoder is used as published: {reason}")
        yield encode_values.run(job, dataset, config.values, untuned=bool(reason), unseen=config.values.unseen)


def _tuning_is_asked_for(config: RunConfig) -> bool:
    """Whether somebody wants the encoder of values tuned on likes: a default of the steps does not say so."""
    return config.values.tune and "tune" in config.values.model_fields_set


def _refuse_what_cannot_work(spec: DatasetSpec, config: RunConfig) -> None:
    """Says in the first second what would fail after minutes.

    Raises:
        InputError: tuning is asked for where nobody likes items with texts; an arm needs texts, or a design items.
    """
    if _tuning_is_asked_for(config):
        item_text_field(spec)
    arms = [str(arm) for arm in config.evaluate.arms if arm.has_values]
    arms += [config.train.arm] if config.train.arm and has_values(config.train.arm) else []
    if arms and not spec.text_fields:
        raise InputError(f"arm {arms[0]!r} needs texts of values: no field of {spec.name!r} has a value_text")
    if config.evaluate.design.kind == "items" and "item" not in spec.entities:
        raise InputError(f"design 'items' holds out items, {spec.name!r} has none: choose chronological or rows30")


def describe(summary: dict[str, Any]) -> str:
    """What a person wants to know at the end."""
    doubts = summary["doubts"]
    warning = f"\nNOT FIT TO BE SERVED: {'; '.join(doubts)}." if doubts else ""
    if summary["unproven"]:
        warning += f"\nNOT PROVEN: {summary['unproven']}."
    if summary["too_good"]:
        warning += f"\nTOO GOOD TO BE TRUE: {summary['too_good']}."
    return (
        f"{warning}\n{summary['choice']}\n\n{summary['comparison']}\n\n{summary['check']}\n"
        f"bundle  {summary['bundle']}\nreport  {summary['report']}\n"
        f"{summary['seconds']:.0f} s in all"
    )
