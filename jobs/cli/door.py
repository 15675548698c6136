"""The way in, and a look at what is there: `llactr init`, `llactr doctor`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llactr.errors import InputError
from llactr.jobs.cli.command import ForceOption, JsonOption, WorkspaceOption, execute
from llactr.steps import Job

if TYPE_CHECKING:
    from llactr.profile import Checked, Question

__all__ = ["doctor", "init"]


class _Order(StrEnum):
    AUTO = "auto"
    FILE = "file"
    RANDOM = "random"


def init(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="Parquet, CSV, JSON or DuckDB files (file.duckdb:table): events, or events, users and items."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The spec to write; tables that need it go beside it.")] = Path(
        "spec.yaml"
    ),
    name: Annotated[str | None, typer.Option(help="Name of the dataset. Default: that of the spec's file.")] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="What a click is: 'bought', 'stars > 3', 'action = buy', or none where every row is a choice."
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="The column of who acts, or none.")] = None,
    item: Annotated[str | None, typer.Option(help="The column of what is acted upon, or none.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of when it happened, or none.")] = None,
    events: Annotated[str | None, typer.Option(help="Which of the tables holds the events.")] = None,
    zone: Annotated[str, typer.Option(help="Zone of times that tell none, such as Europe/Berlin.")] = "UTC",
    order: Annotated[_Order, typer.Option(help="How rows without a time are split.")] = _Order.AUTO,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn at random.")] = 0,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column to keep although something speaks against it; repeat for several."),
    ] = None,
    describe_with: Annotated[
        str | None,
        typer.Option(
            "--describe-with", help="Have a causal language model (folder, hub name, smollm2) draft descriptions."
        ),
    ] = None,
    feast: Annotated[
        Path | None,
        typer.Option(
            "--feast", help="A Feast repository of your own: features of its views become fields of the events."
        ),
    ] = None,
    check: Annotated[
        str | None, typer.Option("--check", help="Instead: list all that is wrong with this spec and its data.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="With --check: the folder of the source files.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing, take what seems likeliest.")] = False,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draft a spec from tables, with a reason for every choice; or --check one."""

    found: list[Checked] = []

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        if check is not None:
            if tables or feast:
                raise InputError("--check reads a spec and no tables: give one of the two")
            from llactr.jobs import init as step

            found.append(step.check(job, check, data_folder=data))
            return found[0].as_json(), step.describe_check(found[0])
        if not tables and feast is None:
            raise InputError("name the tables to draft a spec from: Parquet, CSV, JSON or DuckDB files")
        from llactr.jobs import init as step
        from llactr.profile import StartOptions

        options = StartOptions(
            out=out, name=name, events=events, label=label, user=user, item=item, time=time, zone=zone,
            order=order.value, seed=seed, keep=tuple(keep or ()), force=force,
        )  # fmt: skip
        asked = None if yes or as_json or not (sys.stdin.isatty() and sys.stderr.isatty()) else _ask
        drafted = step.run(job, tables or [], options, ask=asked, model=describe_with, repository=feast)
        return drafted.as_json(), step.describe(drafted)

    execute(body, workspace=workspace, as_json=as_json, force=force, writes=False)
    if found and found[0].wrong:
        raise typer.Exit(2)


def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Look at a workspace: stores, versions, disk, clocks, what is stale; says what to do."""
    ill: list[bool] = []

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import doctor as step

        found = step.run(job)
        ill.append(not found.well)
        return found.as_json(), step.describe(found)

    execute(body, workspace=workspace, as_json=as_json, writes=False)
    if ill and ill[0]:
        raise typer.Exit(1)


def _ask(question: Question) -> str:
    """Asks on the terminal; an empty answer takes the default."""
    typer.echo(f"\n{question.text}", err=True)
    for number, choice in enumerate(question.choices, 1):
        typer.echo(f"  {number}  {choice}{'  (default)' if choice == question.default else ''}", err=True)
    answer = typer.prompt("number, or another column", default="", show_default=False, err=True).strip()
    if answer.isdigit() and 1 <= int(answer) <= len(question.choices):
        return question.choices[int(answer) - 1]
    return answer or question.default
