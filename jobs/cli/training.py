"""Commands that make a model: `llactr train`, `tune`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llactr.jobs.cli.command import (
    BackboneOption,
    ConfigOption,
    DatasetOption,
    ForceOption,
    JsonOption,
    MlflowOption,
    ThreadsOption,
    WorkspaceOption,
    chosen_dataset,
    execute,
)
from llactr.steps import Job

__all__ = ["train", "tune"]


def train(
    backbone: BackboneOption = None,
    arm: Annotated[
        str | None,
        typer.Option(
            help="plain, paper, values, both, 'history taste', ... Default: what llactr run chose, else values where "
            "encoded, else paper."
        ),
    ] = None,
    cold_share: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of training rows shown as cold starts. Default: 0.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    warm: Annotated[
        str | None, typer.Option("--warm", help="Bundle to go on from, on the rows that came since. Default: anew.")
    ] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    mlflow: MlflowOption = None,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Build the point-in-time training set and train one backbone into a bundle."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.lifecycle.config import load_config

        settings = load_config(config, train={"backbone": backbone, "arm": arm, "cold_share": cold_share, "seed": seed})
        name = chosen_dataset(job, dataset)
        from llactr.jobs import train as step

        outcome = step.run(job, name, settings.train, base=warm, warm=settings.warm)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads, mlflow=mlflow)


def tune(
    backbone: BackboneOption = None,
    arm: Annotated[str | None, typer.Option(help="As of llactr train. Default: paper.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all; asking for more goes on.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings per trial.")] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    mlflow: MlflowOption = None,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search an arm's settings on the validation split (Optuna); resumable."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.lifecycle.config import load_config

        base = load_config(config, train={"backbone": backbone, "arm": arm}).train
        name = chosen_dataset(job, dataset)
        from llactr.jobs import tune as step

        outcome = step.run(job, name, step.search_config(base, {"trials": trials, "seeds": seeds}))
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads, mlflow=mlflow)
