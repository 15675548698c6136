"""Commands that make and use a model: `llactr train`, `tune`, `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.jobs.cli.command import (
    BackboneOption,
    ConfigOption,
    DatasetOption,
    ForceOption,
    JsonOption,
    ThreadsOption,
    WorkspaceOption,
    chosen_dataset,
    execute,
)
from llactr.steps import Job

__all__ = ["predict", "train", "tune"]


def train(
    backbone: BackboneOption = None,
    arm: Annotated[
        str | None,
        typer.Option(
            help="plain, paper, values or both. Default: what llactr run chose, else values where encoded, else paper."
        ),
    ] = None,
    cold_share: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of training rows shown as cold starts. Default: 0.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
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

        outcome = step.run(job, name, settings.train)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


def tune(
    backbone: BackboneOption = None,
    arm: Annotated[str | None, typer.Option(help="plain, paper, values or both.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all; asking for more goes on.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings per trial.")] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
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

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


def predict(
    row: Annotated[list[str] | None, typer.Option("--row", help="A row as a JSON object; repeat for several.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Rows in a .json, .jsonl, .csv or .parquet file.")] = None,
    check: Annotated[
        int, typer.Option("--check", min=0, help="Instead: compare this many test rows online against offline.")
    ] = 0,
    bundle: Annotated[str | None, typer.Option(help="Bundle folder or id. Default: the last one trained.")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score rows, with features and vectors read from the online store."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        from llactr.jobs import predict as step
        from llactr.store.ingested import dataset_spec

        if check:
            outcome = step.check(job, name, bundle=bundle, rows=check)
            return outcome.as_json(), step.describe_check(outcome)
        rows = step.read_rows(dataset_spec(job.workspace, name), row or [], file)
        scored = step.run(job, name, bundle=bundle, rows=rows)
        if scored.doubts:
            typer.echo(scored.doubts, err=True)
        return scored.model_dump(mode="json"), step.describe(scored)

    execute(body, workspace=workspace, as_json=as_json, writes=bool(check))
