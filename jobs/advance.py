"""`llactr advance`: a day: appends, encodes what is new, materializes, trains a challenger, promotes it or keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llactr.ctr.find import champion_of
from llactr.ctr.training.fit import TrainSummary
from llactr.ctr.training.warm.start import WarmBase
from llactr.ctr.training.warm.step import waiting_rows
from llactr.datasets.sources import source_files
from llactr.errors import DataError
from llactr.jobs import encode_values, ingest, materialize, promote, train
from llactr.lifecycle.config import RunConfig
from llactr.lifecycle.days import day_base
from llactr.lifecycle.gates import Trial, hold_trial
from llactr.lifecycle.promotions import promote as make_champion
from llactr.lifecycle.readiness import check_servable
from llactr.spec import SourceSpec
from llactr.steps import Job, Step, StepOutcome, outcome_of
from llactr.store.ingested import dataset_spec

__all__ = ["describe", "plan", "run"]


def run(job: Job, dataset: str, config: RunConfig, *, data: Path | None, cold: bool = False) -> dict[str, Any]:
    """Goes through a day's steps, each of which is skipped where nothing has changed: killed, it is run again.

    Args:
        job: where.
        dataset: which; its spec is the one that it was ingested with.
        config: how values are encoded, a model is trained, and what a challenger has to reach.
        data: a folder with new rows; None where they have been appended already.
        cold: train anew, on all rows, whatever the configuration says.
    """
    steps: list[Any] = []
    if data is not None:
        spec = job.workspace.dataset(dataset) / "spec.yaml"
        steps.append(ingest.append(job, str(spec), data_folder=data))
    if Step.ENCODE_VALUES in job.workspace.current(dataset):
        steps.append(encode_values.run(job, dataset, config.values, unseen=config.values.unseen))
    steps += [materialize.apply(job), materialize.materialize(job)]
    trained, why = _trained(job, dataset, config, cold=cold)
    steps += [trained, materialize.materialize(job)]  # states of a new history definition
    champion, challenger = champion_of(job.workspace, dataset), trained.folder.name
    with job.terminal.step("trial") as advance:
        trial = hold_trial(
            job.workspace,
            dataset,
            challenger=challenger,
            champion=champion if champion != challenger else None,
            gates=config.promote,
            doubts=trained.result.doubts,
        )
        advance(1, 1, "passed" if trial.passed else "not passed")
    promoted = _decided(job, dataset, trained.folder, champion, trial)
    return {
        "dataset": dataset,
        "challenger": challenger,
        "trained_anew": why,
        "champion_before": champion,
        "champion": promoted,
        "trial": trial.model_dump(mode="json"),
        "steps": [one.as_json() for one in steps],
    }


def _trained(job: Job, dataset: str, config: RunConfig, *, cold: bool) -> tuple[StepOutcome[TrainSummary], str | None]:
    """The challenger, and why it was trained anew; None where training went on from the champion."""
    base, reason = _base(job, dataset, config, cold=cold)
    if base is None:
        return train.run(job, dataset, config.train), reason
    if not waiting_rows(job.workspace, dataset, base):
        known = outcome_of(base.folder, TrainSummary)
        if known is not None:
            return known, None
    return train.run(job, dataset, config.train, base=base.name, warm=config.warm), None


def _base(job: Job, dataset: str, config: RunConfig, *, cold: bool) -> tuple[WarmBase | None, str]:
    if cold or not config.warm.enabled:
        return None, "it was asked for"
    return day_base(job.workspace, dataset, config.train)


def plan(job: Job, dataset: str, config: RunConfig, *, data: Path | None, cold: bool = False) -> list[str]:
    """What `run` would do, a line a step; nothing is read but names, and nothing is written."""
    steps = []
    if data is not None:
        spec = dataset_spec(job.workspace, dataset)
        found = [name for name, source in spec.sources.items() if _has_source(source, name, data)]
        if not found:
            raise DataError(f"the folder {data} holds none of the sources {', '.join(map(repr, spec.sources))}")
        steps.append(f"append {', '.join(found)} of {data}")
    if Step.ENCODE_VALUES in job.workspace.current(dataset):
        steps.append("encode the values that have no vector yet")
    base, reason = _base(job, dataset, config, cold=cold)
    how = f"anew ({reason})" if base is None else f"on from {base.name}"
    steps += ["materialize what has changed", f"train {config.train.backbone} {how}, unless no row has changed"]
    champion = champion_of(job.workspace, dataset)
    against = f"the champion {champion} and a constant" if champion else "a constant: nothing was ever promoted"
    limits = ", ".join(f"{name} {limit:g}" for name, limit in config.promote.model_dump().items())
    return [*steps, f"hold it against {against}, on the newest rows; promote it where it passes ({limits})"]


def _has_source(source: SourceSpec, name: str, folder: Path) -> bool:
    """Whether a folder holds files of a source."""
    try:
        return bool(source_files(source, name, folder))
    except DataError:
        return False


def _decided(job: Job, dataset: str, folder: Path, champion: str | None, trial: Trial) -> str | None:
    """The champion from now on."""
    if not trial.passed or champion == folder.name:
        return champion
    check_servable(job.workspace, dataset, folder, anyway=True)  # doubts are a gate
    promote.keep_profile(job, folder)
    said = "; ".join(gate.sentence for gate in trial.gates)
    return make_champion(job.workspace, dataset, folder, because=f"passed all gates: {said}").champion


def describe(found: dict[str, Any]) -> str:
    """The figures, the gates, and what was decided."""
    trial = Trial.model_validate(found["trial"])
    anew = found["trained_anew"]
    lines = [f"trained anew: {anew}"] if anew else []
    lines += [f"{trial.rows:,} newest rows, {trial.positives:,} positive"]
    for one in (trial.challenger, trial.champion, trial.constant):
        if one is not None:
            auc = "-" if one.auc is None else f"{one.auc:.4f}"
            lines.append(f"AUC {auc:>6}  logloss {one.logloss:.4f}  calibration {one.calibration:+.4f}  {one.model}")
    lines += [gate.sentence for gate in trial.gates]
    if found["champion"] == found["champion_before"]:
        return "\n".join([*lines, f"{found['champion'] or 'no bundle'} stays the champion"])
    return "\n".join([*lines, f"{found['champion']} is the champion"])
