"""Commands that compare and report: `llactr evaluate`, `diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from llactr.jobs.cli.command import (
    BACKBONE_NAMES,
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

__all__ = ["diagnose", "evaluate"]


def evaluate(
    design: Annotated[
        str | None,
        typer.Option(help="chronological, items, or rowsN for N percent of the rows. Default: chronological."),
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeat for several: {BACKBONE_NAMES}, or 'all'. Default: fm and deepfm."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="Repeat for several; 'plain' is needed. plain, fre, fie, paper, values, 'values untuned', both; each "
            "but plain with ' permuted' or ' random' for a placebo, 'values words' and 'both words' for bags of words. "
            "What happened before: items, history, 'history taste', alone or behind one of these. "
            "Rivals, also with history: lightgbm, catboost, vowpalwabbit."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Paired seeds per arm. Default: 3.")] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Draws of the held-out items or rows; chronological has one. Default: 5.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="File that gets the result as JSON.")] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    mlflow: MlflowOption = None,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare arms on the test split: draws, paired seeds, slices, a bootstrap over rows, a verdict; resumable."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.lifecycle.config import load_config

        flags = {"design": design, "backbones": backbone or None, "arms": arm or None, "seeds": seeds, "draws": draws}
        settings = load_config(config, evaluate=flags)
        name = chosen_dataset(job, dataset)
        from llactr.jobs import evaluate as step

        outcome = step.run(job, name, settings.evaluate, semantics=settings.values, results=results)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads, mlflow=mlflow)


def diagnose(
    dataset: DatasetOption = None,
    device: Annotated[str, typer.Option(help="FAISS device: auto, cpu or gpu.")] = "auto",
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure how similar the fields are (FAISS) and write the report."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        from llactr.diagnostics.index import Device
        from llactr.jobs import diagnose as step

        outcome = step.run(job, name, device=cast(Device, device))
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)
