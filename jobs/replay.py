"""`llactr replay`: compares policies of retraining over a data set's time, and writes a page, a table and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llactr.atomic import write_text, writing_file
from llactr.ctr.training.config import has_values
from llactr.diagnostics.policies import period_table, write_policies
from llactr.errors import InputError
from llactr.evaluation.prequential import POLICIES, PrequentialResult
from llactr.jobs import encode, encode_values, ingest, materialize, train
from llactr.lifecycle.config import RunConfig
from llactr.lifecycle.policies.config import WalkConfig
from llactr.lifecycle.policies.step import walk_dataset
from llactr.spec import find_spec, load_spec
from llactr.steps import Job, Step, StepOutcome
from llactr.validation import problems

__all__ = ["describe", "run", "walk_config"]


def walk_config(config: RunConfig, *, every: str, first: float, policies: str) -> WalkConfig:
    """The walk that flags and the configuration ask for.

    Raises:
        InputError: a flag is not valid.
    """
    names = [name.strip() for name in policies.split(",") if name.strip()]
    if unknown := [name for name in names if name not in POLICIES] or (not names and ["none"]):
        raise InputError(f"--policies has {unknown[0]!r}: choose some of {', '.join(POLICIES)}")
    content: dict[str, Any] = {"every": every, "first": first, "policies": tuple(dict.fromkeys(names))}
    content |= {"train": config.train, "warm": config.warm, "promote": config.promote}
    try:
        return WalkConfig.model_validate(content)
    except ValidationError as error:
        raise InputError(f"replay cannot be run so: {problems(error, WalkConfig, quoted=False)}") from None


def run(
    job: Job, spec_name: str, config: RunConfig, walk: WalkConfig, *, data_folder: Path | None = None
) -> StepOutcome[PrequentialResult]:
    """Ingests and encodes what is not there yet, walks, and writes what was found into the artifact's folder.

    Raises:
        NotReadyError: the arm needs value vectors, and the spec gives no field a text.
    """
    dataset = load_spec(find_spec(spec_name)).name
    if dataset not in job.workspace.datasets():
        ingest.run(job, spec_name, data_folder=data_folder)
    known = job.workspace.current(dataset)
    if Step.ENCODE not in known:
        encode.run(job, dataset, config.semantics, untuned=True, effective_from="start")
    model = train.wanted_config(job, dataset, walk.train)
    if model.arm is not None and has_values(model.arm) and Step.ENCODE_VALUES not in known:
        encode_values.run(job, dataset, config.values, untuned=True, unseen=config.values.unseen)
    materialize.apply(job)
    outcome = walk_dataset(job, dataset, walk.model_copy(update={"train": model}))
    write_text(outcome.folder / "replay.json", json.dumps(outcome.result.as_json(), indent=1) + "\n")
    with writing_file(outcome.folder / "periods.parquet") as draft:
        period_table(outcome.result, draft)
    write_policies(outcome.result, outcome.folder)
    return outcome


def describe(outcome: StepOutcome[PrequentialResult]) -> str:
    """A line a policy, and where the page is."""
    found = outcome.result
    lines = [f"{found.backbone} {found.arm}: {found.rows:,} rows, each scored by the model that was live when it came"]
    for one in found.policies:
        auc, mean = ("-" if value is None else f"{value:.4f}" for value in (one.auc, one.mean_auc))
        trained = sum(period.trained for period in one.periods)
        lines.append(
            f"AUC {auc}, mean of periods {mean}, logloss {one.logloss:.4f}, {one.cpu_seconds:.1f} CPU-seconds in "
            f"{trained} trainings: {POLICIES[one.policy]} ({one.policy})"
        )
    lines.append(f"logloss {found.constant_logloss:.4f} of a constant, the click rate so far")
    return "\n".join([*lines, f"page    {outcome.folder / 'report.html'}"])
