"""The command line: `llactr <step>`. Nothing heavy is imported until a command runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.jobs.cli.command import (
    ConfigOption,
    DatasetOption,
    ForceOption,
    JsonOption,
    ThreadsOption,
    WorkspaceOption,
    check_spec,
    chosen_dataset,
    execute,
)
from llactr.jobs.cli.evaluate import app as evaluate_commands
from llactr.jobs.cli.service import app as service_commands
from llactr.steps import Job

__all__ = ["app", "main"]

app = typer.Typer(
    name="llactr",
    help="LLM field semantics for CTR models: vectors in Feast, point-in-time training sets, consistent serving.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def ingest(
    spec: Annotated[str, typer.Argument(help="Dataset spec (YAML), or the name of one that comes with llactr.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the source files.")] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add the folder's rows to the dataset: new items, users, events.")
    ] = False,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch and check the data, write the offline tables."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        check_spec(spec)
        from llactr.jobs import ingest as step

        outcome = step.append(job, spec, data_folder=data) if append else step.run(job, spec, data_folder=data)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
def finetune(
    model: Annotated[str | None, typer.Option(help="Encoder: minilm, smollm2, a folder, or a hub name.")] = None,
    objective: Annotated[
        str, typer.Option(help="fields (SSFT on field-feature pairs), or colike (values, from users' likes).")
    ] = "fields",
    loss: Annotated[str | None, typer.Option(help="contrastive or generative.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:0.")] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune the encoder on field-feature pairs (SSFT), or for values on users' likes (colike)."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.errors import InputError
        from llactr.jobs import finetune as step
        from llactr.jobs import tune_values
        from llactr.jobs.config import load_config

        if objective == "colike":
            outcome = tune_values.run(job, chosen_dataset(job, dataset), load_config(config).values)
            return outcome.as_json(), tune_values.describe(outcome)
        if objective != "fields":
            raise InputError(f"--objective is {objective!r}: choose fields or colike")
        settings = load_config(config, semantics={"model": model, "loss": loss, "seed": seed, "device": device})
        outcome = step.run(job, chosen_dataset(job, dataset), settings.semantics)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def encode(
    values: Annotated[bool, typer.Option("--values", help="Encode the values' texts instead; only new ones.")] = False,
    shards: Annotated[int, typer.Option(min=1, help="With --values: processes that encode side by side.")] = 1,
    untuned: Annotated[
        bool, typer.Option("--untuned", help="Use the encoder as published, without an adapter.")
    ] = False,
    effective_from: Annotated[
        str | None, typer.Option(help="When the release takes effect: start, now, or an ISO time with a zone.")
    ] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Encode the field descriptions and make the release; with --values, encode the values' texts."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import encode as step
        from llactr.jobs import encode_values
        from llactr.jobs.config import load_config

        settings = load_config(config)
        if values:
            outcome = encode_values.run(
                job, chosen_dataset(job, dataset), settings.values, untuned=untuned, shards=shards
            )
            return outcome.as_json(), encode_values.describe(outcome)
        outcome = step.run(
            job,
            chosen_dataset(job, dataset),
            settings.semantics,
            untuned=untuned,
            effective_from=effective_from or "start",
        )
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def apply(workspace: WorkspaceOption = None, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Register entities, views and services: what `feast apply` does in feature_repo/."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import materialize as step

        outcome = step.apply(job)
        return outcome.as_json(), step.describe_apply(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
def materialize(workspace: WorkspaceOption = None, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Load the online store: what `feast materialize` does in feature_repo/."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import materialize as step

        outcome = step.materialize(job)
        return outcome.as_json(), step.describe_materialize(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
def train(
    backbone: Annotated[str | None, typer.Option(help="fm, fwfm, fmfm, deepfm, finalmlp or wukong.")] = None,
    arm: Annotated[
        str | None,
        typer.Option(
            help="plain, paper, values or both. Default: values where they have been encoded, else paper (FRE and FIE)."
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
        from llactr.jobs import train as step
        from llactr.jobs.config import load_config

        settings = load_config(config, train={"backbone": backbone, "arm": arm, "cold_share": cold_share, "seed": seed})
        outcome = step.run(job, chosen_dataset(job, dataset), settings.train)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def diagnose(
    dataset: DatasetOption = None,
    device: Annotated[str, typer.Option(help="FAISS device: auto, cpu or gpu.")] = "auto",
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure how similar the fields are (FAISS) and write the report."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import diagnose as step

        outcome = step.run(job, chosen_dataset(job, dataset), device=device)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
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
        from llactr.jobs import predict as step

        name = chosen_dataset(job, dataset)
        if check:
            outcome = step.check(job, name, bundle=bundle, rows=check)
            return outcome.as_json(), step.describe_check(outcome)
        scored = step.run(job, name, bundle=bundle, rows=step.read_rows(row or [], file))
        return scored, step.describe(scored)

    execute(body, workspace=workspace, as_json=as_json, writes=bool(check))


@app.command()
def run(
    spec: Annotated[str, typer.Argument(help="Dataset spec (YAML), or the name of one that comes with llactr.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the source files.")] = None,
    tune_values: Annotated[
        bool | None,
        typer.Option(help="Tune the encoder for the values on users' likes first. Default: where there are any."),
    ] = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """All steps, from the data to the report, for any dataset spec."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        check_spec(spec)
        from llactr.jobs import run as step
        from llactr.jobs.config import load_config

        settings = load_config(config, values={"tune": tune_values})
        summary = step.run(job, spec, settings, data_folder=data)
        return summary, step.describe(summary)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def quickstart(
    data: Annotated[Path | None, typer.Option("--data", help="Folder with MovieLens-100K's files.")] = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """The main job on MovieLens-100K: a few minutes, ends with a report."""
    run(
        "movielens-100k",
        data=data,
        tune_values=False,  # 55 CPU-seconds, a third of all of the rest
        config=None,
        threads=threads,
        workspace=workspace,
        force=force,
        as_json=as_json,
    )


app.add_typer(evaluate_commands)
app.add_typer(service_commands)


def main() -> None:
    """The console script `llactr`."""
    try:
        app()
    except KeyboardInterrupt:
        print("llactr: interrupted; nothing was left half-written", file=sys.stderr)
        raise SystemExit(130) from None
