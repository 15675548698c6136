"""Commands that take all steps: `llactr run`, `quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.jobs.cli.command import (
    ConfigOption,
    ForceOption,
    JsonOption,
    MlflowOption,
    ThreadsOption,
    WorkspaceOption,
    check_spec,
    execute,
)
from llactr.steps import Job

__all__ = ["quickstart", "run"]


def run(
    spec: Annotated[str, typer.Argument(help="Dataset spec (YAML), or the name of one that comes with llactr.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the source files.")] = None,
    tune_values: Annotated[
        bool | None,
        typer.Option(help="Tune the encoder for the values on users' likes first. Default: no."),
    ] = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    mlflow: MlflowOption = None,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """All steps, from the data to the report, for any dataset spec."""
    _all_steps(spec, data, config, {"values": {"tune": tune_values}}, workspace, as_json, force, threads, mlflow)


def _all_steps(
    spec: str,
    data: Path | None,
    config: Path | None,
    flags: dict[str, dict[str, Any]],
    workspace: Path | None,
    as_json: bool,
    force: bool,
    threads: int,
    mlflow: str | None,
) -> None:
    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        check_spec(spec)
        from llactr.lifecycle.config import load_config

        settings = load_config(config, **flags)
        from llactr.jobs import run as step

        summary = step.run(job, spec, settings, data_folder=data)
        return summary, step.describe(summary)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads, mlflow=mlflow)


def quickstart(
    data: Annotated[Path | None, typer.Option("--data", help="Folder with MovieLens-100K's files.")] = None,
    threads: ThreadsOption = 0,
    mlflow: MlflowOption = None,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """The main job on MovieLens-100K: a few minutes, ends with a report."""
    flags: dict[str, dict[str, Any]] = {
        "values": {"tune": False},  # 55 CPU-seconds, a third of all of the rest
        "evaluate": {"seeds": 2},  # a third seed is another 75
    }
    _all_steps("movielens-100k", data, None, flags, workspace, as_json, force, threads, mlflow)
