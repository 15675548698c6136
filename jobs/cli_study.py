"""Commands that search and compare: `llactr tune`, `llactr study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.command import (
    ConfigOption,
    DatasetOption,
    ForceOption,
    JsonOption,
    ThreadsOption,
    WorkspaceOption,
    chosen_dataset,
    execute,
)
from jobs.step import Job

__all__ = ["app"]

app = typer.Typer()


@app.command()
def tune(
    backbone: Annotated[str | None, typer.Option(help="fm, fwfm, fmfm, deepfm, finalmlp or wukong.")] = None,
    arm: Annotated[str | None, typer.Option(help="plain, enhanced, values or both.")] = None,
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
        from jobs import tune as step
        from jobs.config import load_config

        base = load_config(config, train={"backbone": backbone, "arm": arm}).train
        search = step.search_config(base, {"trials": trials, "seeds": seeds})
        outcome = step.run(job, chosen_dataset(job, dataset), search)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def study(
    design: Annotated[str | None, typer.Option(help="items, chronological, rows10 or rows30.")] = None,
    backbone: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Repeat for several; 'plain' is needed.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Paired seeds.")] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Draws of the held-out items or rows.")] = None,
    results: Annotated[Path | None, typer.Option(help="File that gets the result as JSON.")] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare arms under a hold-out design: slices, draws, seeds and a bootstrap over rows; resumable."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import study as step
        from jobs.config import load_config
        from jobs.study_config import study_config

        flags = {"design": design, "backbones": backbone, "arms": arm, "seeds": seeds, "draws": draws}
        settings = study_config(load_config(config).values, {name: given or None for name, given in flags.items()})
        outcome = step.run(job, chosen_dataset(job, dataset), settings, results=results)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)
