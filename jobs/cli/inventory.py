"""Commands about what there is: `llactr list`, `show`, `compare`, `rm`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llactr.jobs.cli.command import DatasetOption, JsonOption, WorkspaceOption, execute
from llactr.steps import Job

__all__ = ["compare", "list_command", "rm", "show"]

NameArgument = Annotated[str, typer.Argument(help="KIND/NAME as 'llactr list' has it, or the name alone.")]
NamesArgument = Annotated[list[str], typer.Argument(help="KIND/NAME as 'llactr list' has it, or the name alone.")]


def list_command(
    kind: Annotated[
        str | None, typer.Argument(help="datasets, bundles, evaluations, field_vectors, ... Default: all.")
    ] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List datasets, versions, bundles, evaluations and the rest, with sizes and who needs whom."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import inventory as step

        found = step.held(job, kind=kind, dataset=dataset)
        return {"artifacts": [one.model_dump(mode="json") for one in found]}, step.describe_list(found)

    execute(body, workspace=workspace, as_json=as_json, writes=False)


def show(name: NameArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show one artifact: settings, results, inputs, cost, size, and who needs whom."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import inventory as step

        found = step.show(job, name)
        return found.model_dump(mode="json"), step.describe_shown(found)

    execute(body, workspace=workspace, as_json=as_json, writes=False)


def compare(names: NamesArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Compare artifacts of one kind: the settings, versions and metrics that differ."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import inventory as step

        found = step.compare(job, names)
        content = {"names": names, "differences": [one.model_dump(mode="json") for one in found]}
        return content, step.describe_differences(found)

    execute(body, workspace=workspace, as_json=as_json, writes=False)


def rm(
    names: NamesArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Also what is kept for its own sake, and all that needs it.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove artifacts, or datasets/NAME with all that was made of it; what is live or needed is refused."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import inventory as step

        found = step.rm(job, names, force=force)
        return {"removed": [one.model_dump(mode="json") for one in found]}, step.describe_removed(found)

    execute(body, workspace=workspace, as_json=as_json)
