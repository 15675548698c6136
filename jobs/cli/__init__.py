"""The command line: `llactr <step>`. Nothing heavy is imported until a command runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llactr import __version__
from llactr.jobs.cli.console import speak_plainly
from llactr.jobs.cli.data import apply, ingest, materialize, snapshots
from llactr.jobs.cli.door import doctor, init
from llactr.jobs.cli.evaluation import diagnose, evaluate
from llactr.jobs.cli.inventory import compare, list_command, rm, show
from llactr.jobs.cli.live import advance, forget, gc, monitor, promote, releases, replay, rollback
from llactr.jobs.cli.scoring import export, score
from llactr.jobs.cli.semantics import encode, finetune
from llactr.jobs.cli.service import check, push, serve, skew
from llactr.jobs.cli.training import train, tune
from llactr.jobs.cli.whole import quickstart, run

__all__ = ["app", "main"]

app = typer.Typer(
    name="llactr",
    help="LLM field semantics for CTR models: vectors in Feast, point-in-time training sets, consistent serving.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"llactr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(init)  # the first that a newcomer needs, so the first of --help
app.command()(doctor)
for _command in (
    ingest, finetune, encode, apply, materialize, snapshots, train, diagnose, score, export, run, quickstart, tune,
    evaluate, serve, push, check, skew, promote, rollback, releases, gc, show, compare, rm, forget, monitor, advance,
    replay,
):  # fmt: skip
    app.command()(_command)
app.command("list")(list_command)


def main() -> None:
    """The console script `llactr`."""
    speak_plainly()
    try:
        app()
    except KeyboardInterrupt:
        print("llactr: interrupted; nothing was left half-written", file=sys.stderr)
        raise SystemExit(130) from None
