"""Commands that use a model: `llactr score`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.ctr.exports import EXPORTS
from llactr.errors import InputError
from llactr.jobs.cli.command import (
    DatasetOption,
    JsonOption,
    RayOption,
    ThreadsOption,
    WorkspaceOption,
    chosen_dataset,
    execute,
)
from llactr.pieces import Workers
from llactr.steps import Job

__all__ = ["export", "score"]


def score(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[IN]",
            help="Rows: a .parquet, .csv, .json or .jsonl file, a folder of Parquet; with --sql a DuckDB database.",
        ),
    ] = None,
    row: Annotated[list[str] | None, typer.Option("--row", help="A row as a JSON object; repeat for several.")] = None,
    sql: Annotated[str | None, typer.Option("--sql", help="A DuckDB query that gives the rows.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Parquet file for keys, kept columns and scores. Default: print scores."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", help="Features of the offline store as of a time with a zone, or of a column. Default: online, now."
        ),
    ] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="With --out: a column to keep; repeat.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Bundle folder or id. Default: the last one trained.")] = None,
    ray: RayOption = None,
    dataset: DatasetOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score rows by a bundle, with features read from the online store or, as of a time, from the offline one."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        if sum((bool(row), file is not None or sql is not None)) != 1:
            raise InputError("give the rows to score: a file, --sql, or --row '{...}'")
        if (out is None and keep) or (out is not None and row):
            raise InputError("--keep goes with --out, and --out with a file or --sql")
        if out is None and ray is not None:
            raise InputError("--ray goes with --out: scores that are printed come from one process")
        from llactr.jobs import score as step

        if out is not None:
            workers = Workers(ray=ray, threads=threads or None)
            made = step.into_file(
                job, name, out, bundle=bundle, file=file, sql=sql, at=at, keep=keep or (), workers=workers
            )
            _say(made.doubts)
            return made.model_dump(mode="json"), step.describe(made)
        scored = step.rows(job, name, bundle=bundle, given=row or [], file=file, sql=sql, at=at)
        _say(scored.doubts)
        return scored.model_dump(mode="json"), step.describe(scored)

    execute(body, workspace=workspace, as_json=as_json, writes=False, threads=threads)


def export(
    to: Annotated[str, typer.Option("--to", help=f"One of {', '.join(EXPORTS)}.")],
    bundle: Annotated[str | None, typer.Argument(help="Bundle folder or id. Default: the last one trained.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder that is not there. Default: export-FORMAT here.")
    ] = None,
    buckets: Annotated[
        int | None,
        typer.Option(min=1, help="With training_set: join the rows in so many parts, by users. Default: all at once."),
    ] = None,
    ray: RayOption = None,
    dataset: DatasetOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a bundle as a program, checked to 1e-5, or as tables; its training rows; its adapter for Hugging Face."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        if to not in EXPORTS:
            raise EXPORTS.unknown(to)
        from llactr.jobs import export as step

        workers = Workers(ray=ray, threads=threads or None)
        made = step.run(job, name, bundle, to=to, out=out or Path(f"export-{to}"), buckets=buckets, workers=workers)
        return made.model_dump(mode="json"), step.describe(made)

    execute(body, workspace=workspace, as_json=as_json, writes=False, threads=threads)


def _say(doubts: str) -> None:
    if doubts:
        typer.echo(doubts, err=True)
