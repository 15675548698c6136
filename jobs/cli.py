"""The command line: `llactr <step>`. Nothing heavy is imported until a command runs, so that `--help` is quick."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.console import Terminal
from jobs.step import Job, exclusive
from llactr.errors import InputError, LlactrError
from llactr.workspace import Workspace

__all__ = ["app", "main"]

app = typer.Typer(
    name="llactr",
    help="LLM field semantics for CTR models: vectors in Feast, point-in-time training sets, consistent serving.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder that holds everything. [default: $LLACTR_WORKSPACE or .llactr]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object; logs go to stderr.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Redo the step although its inputs did not change.")]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="Which ingested dataset. [default: the only one there is]")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="YAML with the sections semantics, train and evaluate; flags win over it."),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 takes all cores.")]


def _execute(
    body: Callable[[Job], tuple[dict[str, Any], str | None]],
    *,
    workspace: Path | None,
    as_json: bool,
    force: bool = False,
    writes: bool = True,
    threads: int = 0,
) -> None:
    """Runs a command's body: prints its result, turns errors into one sentence and an exit code."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # before torch is imported: spinning threads starve a busy machine
    os.environ["OMP_NUM_THREADS"] = str(threads or os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    terminal = Terminal(as_json=as_json)
    job = Job(workspace=Workspace.at(workspace), terminal=terminal, force=force)
    try:
        if writes:
            with exclusive(job.workspace):
                content, text = body(job)
        else:
            content, text = body(job)
    except LlactrError as error:
        if as_json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}, ensure_ascii=False))
        terminal.note(f"llactr: {error}")
        raise typer.Exit(error.exit_code) from None
    terminal.result(content, text)


@app.command()
def ingest(
    spec: Annotated[str, typer.Argument(help="Dataset spec (YAML), or the name of one in examples/.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the source files.")] = None,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch and check the data, write the offline tables."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import ingest as step

        outcome = step.run(job, spec, data_folder=data)
        return outcome.as_json(), step.describe(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
def finetune(
    model: Annotated[str | None, typer.Option(help="Encoder: minilm, smollm2, a folder, or a hub name.")] = None,
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
    """Fine-tune the encoder on field-feature pairs (SSFT)."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import finetune as step
        from jobs.config import load_config

        settings = load_config(config, semantics={"model": model, "loss": loss, "seed": seed, "device": device})
        outcome = step.run(job, _dataset(job, dataset), settings.semantics)
        return outcome.as_json(), step.describe(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def encode(
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
    """Encode the field descriptions, write them with their semantics version, make the release."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import encode as step
        from jobs.config import load_config

        settings = load_config(config)
        outcome = step.run(
            job, _dataset(job, dataset), settings.semantics, untuned=untuned, effective_from=effective_from or "start"
        )
        return outcome.as_json(), step.describe(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def apply(workspace: WorkspaceOption = None, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Register entities, views and services: what `feast apply` does in feature_repo/."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import materialize as step

        outcome = step.apply(job)
        return outcome.as_json(), step.describe_apply(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
def materialize(workspace: WorkspaceOption = None, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Load the online store: what `feast materialize` does in feature_repo/."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import materialize as step

        outcome = step.materialize(job)
        return outcome.as_json(), step.describe_materialize(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
def train(
    backbone: Annotated[str | None, typer.Option(help="fm, fwfm, fmfm, deepfm, finalmlp or wukong.")] = None,
    arm: Annotated[str | None, typer.Option(help="plain or enhanced.")] = None,
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
        from jobs import train as step
        from jobs.config import load_config

        settings = load_config(config, train={"backbone": backbone, "arm": arm, "seed": seed})
        outcome = step.run(job, _dataset(job, dataset), settings.train)
        return outcome.as_json(), step.describe(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def evaluate(
    backbone: Annotated[list[str] | None, typer.Option(help="Repeat for several; 'all' for the six.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Paired seeds per arm.")] = None,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare plain, enhanced and placebo over several seeds, with confidence intervals."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import evaluate as step
        from jobs.config import load_config

        settings = load_config(config, evaluate={"backbones": backbone or None, "seeds": seeds})
        outcome = step.run(job, _dataset(job, dataset), settings.evaluate)
        return outcome.as_json(), step.describe(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


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
        from jobs import diagnose as step

        outcome = step.run(job, _dataset(job, dataset), device=device)
        return outcome.as_json(), step.describe(outcome)

    _execute(body, workspace=workspace, as_json=as_json, force=force)


@app.command()
def predict(
    row: Annotated[list[str] | None, typer.Option("--row", help="A row as a JSON object; repeat for several.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Rows in a .json, .jsonl, .csv or .parquet file.")] = None,
    check: Annotated[
        int, typer.Option("--check", min=0, help="Instead: compare this many test rows online against offline.")
    ] = 0,
    bundle: Annotated[str | None, typer.Option(help="Bundle folder or id. [default: the last one trained]")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score rows, with features and vectors read from the online store."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import predict as step

        name = _dataset(job, dataset)
        if check:
            outcome = step.check(job, name, bundle=bundle, rows=check)
            return outcome.as_json(), step.describe_check(outcome)
        scored = step.run(job, name, bundle=bundle, rows=step.read_rows(row or [], file))
        return scored, step.describe(scored)

    _execute(body, workspace=workspace, as_json=as_json, writes=bool(check))


@app.command()
def serve(
    bundle: Annotated[str | None, typer.Option(help="Bundle folder or id. [default: the last one trained]")] = None,
    compare_bundle: Annotated[
        str | None, typer.Option(help="A second bundle, scored beside the first on demand.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address; beyond loopback, keys are needed. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port, 0 for a free one. [default: 8080]")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port. [default: 1]")] = None,
    cache_ttl_s: Annotated[
        float | None, typer.Option(help="Reuse item features so long; 0 never. [default: 60]")
    ] = None,
    log_rate: Annotated[float | None, typer.Option(help="Share of scored requests to log. [default: 0]")] = None,
    deadline_ms: Annotated[int | None, typer.Option(help="Longest time for a request. [default: 1000]")] = None,
    max_concurrency: Annotated[int | None, typer.Option(help="Requests under way, then 429. [default: 64]")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key.")] = None,
    settings: Annotated[Path | None, typer.Option("--config", help="YAML with any setting of the service.")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a bundle: rank candidates with features and vectors from the online store."""
    flags: dict[str, Any] = {
        "bundle": bundle,
        "compare_bundle": compare_bundle,
        "host": host,
        "port": port,
        "workers": workers,
        "cache_ttl_s": cache_ttl_s,
        "log_rate": log_rate,
        "deadline_ms": deadline_ms,
        "max_concurrency": max_concurrency,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "dataset": dataset,
    }

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import serve as step

        step.run(step.configuration(job.workspace, settings, flags))
        return {"ended": True}, ""

    _execute(body, workspace=workspace, as_json=as_json, writes=False, threads=1)


@app.command()
def check(
    url: Annotated[str, typer.Option(help="The service's address, such as http://127.0.0.1:8080.")],
    rows: Annotated[int, typer.Option(min=1, help="Test rows to compare.")] = 1000,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a running service with the offline path: same ids, same scores."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import check as step

        found = step.check_url(job, _dataset(job, dataset), url=url, rows=rows)
        return found, step.describe(found)

    _execute(body, workspace=workspace, as_json=as_json)


@app.command()
def skew(
    since: Annotated[str | None, typer.Option(help="Only rows served from this time on, with a zone.")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the served-feature log with the offline store."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import skew as step

        found = step.run(job, _dataset(job, dataset), since=_time(since))
        return found, step.describe(found)

    _execute(body, workspace=workspace, as_json=as_json, writes=False)


@app.command()
def run(
    spec: Annotated[str, typer.Argument(help="Dataset spec (YAML), or the name of one in examples/.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the source files.")] = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """All steps, from the data to the report, for any dataset spec."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from jobs import pipeline
        from jobs.config import load_config

        summary = pipeline.run(job, spec, load_config(config), data_folder=data)
        return summary, pipeline.describe(summary)

    _execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


@app.command()
def quickstart(
    data: Annotated[Path | None, typer.Option("--data", help="Folder with MovieLens-100K's files.")] = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """The main job on MovieLens-100K: a few minutes, ends with a report."""
    run("movielens-100k", data=data, config=None, threads=threads, workspace=workspace, force=force, as_json=as_json)


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"--since is {text!r}: give a time such as 2026-01-31T12:00:00+00:00") from None


def _dataset(job: Job, name: str | None) -> str:
    """The dataset meant: the one named, else the only one ingested."""
    from llactr.errors import NotReadyError

    known = job.workspace.datasets()
    if not known:
        raise NotReadyError(f"the workspace {job.workspace.root} holds no dataset: run 'llactr ingest SPEC' first")
    if name is None and len(known) > 1:
        raise InputError(f"the workspace holds several datasets: give --dataset, one of {', '.join(known)}")
    if name is not None and name not in known:
        raise InputError(f"no dataset {name!r} in {job.workspace.root}: it holds {', '.join(known)}")
    return name or known[0]


def main() -> None:
    """The console script `llactr`."""
    try:
        app()
    except KeyboardInterrupt:
        print("llactr: interrupted; nothing was left half-written", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
