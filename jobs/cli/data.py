"""Commands that bring the data in and online: `llactr ingest`, `apply`, `materialize`, `snapshots`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.jobs.cli.command import (
    DatasetOption,
    ForceOption,
    JsonOption,
    WorkspaceOption,
    check_spec,
    chosen_dataset,
    execute,
)
from llactr.steps import Job

__all__ = ["apply", "ingest", "materialize", "snapshots"]


def ingest(
    spec: Annotated[str, typer.Argument(help="Dataset spec (YAML), or the name of one that comes with llactr.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the source files.")] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add the folder's rows to the dataset: new items, users, events.")
    ] = False,
    allow_unmatched: Annotated[
        bool, typer.Option("--allow-unmatched", help="Go on although no event finds its user's or item's row.")
    ] = False,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch and check the data, write the offline tables."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        check_spec(spec)
        from llactr.jobs import ingest as step

        ingested = step.append if append else step.run
        outcome = ingested(job, spec, data_folder=data, allow_unmatched=allow_unmatched)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)


def apply(workspace: WorkspaceOption = None, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Register entities, views and services: what `feast apply` does in feature_repo/."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import materialize as step

        outcome = step.apply(job)
        return outcome.as_json(), step.describe_apply(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)


def materialize(workspace: WorkspaceOption = None, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Load the online store: what `feast materialize` does in feature_repo/."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import materialize as step

        outcome = step.materialize(job)
        return outcome.as_json(), step.describe_materialize(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)


def snapshots(
    bundle: Annotated[str | None, typer.Option(help="Id or path of a bundle. Default: the one that is served.")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what counted of everyone's past at every moment: rows of Feast views, for joins at any time."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        from llactr.jobs import snapshots as step

        found = step.run(job, name, bundle=bundle)
        return found, step.describe(found)

    execute(body, workspace=workspace, as_json=as_json)
