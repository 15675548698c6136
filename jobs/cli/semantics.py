"""Commands of the language model: `llactr finetune`, `encode`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llactr.errors import InputError
from llactr.jobs.cli.command import (
    ConfigOption,
    DatasetOption,
    ForceOption,
    JsonOption,
    RayOption,
    ThreadsOption,
    WorkspaceOption,
    chosen_dataset,
    execute,
)
from llactr.pieces import Workers
from llactr.steps import Job

__all__ = ["encode", "finetune"]


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
        from llactr.lifecycle.config import load_config

        if objective not in {"fields", "colike"}:
            raise InputError(f"--objective is {objective!r}: choose fields or colike")
        settings = load_config(config, semantics={"model": model, "loss": loss, "seed": seed, "device": device})
        name = chosen_dataset(job, dataset)
        if objective == "colike":
            from llactr.jobs import tune_values

            tuned = tune_values.run(job, name, settings.values)
            return tuned.as_json(), tune_values.describe(tuned)
        from llactr.jobs import finetune as step

        outcome = step.run(job, name, settings.semantics)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


def encode(
    values: Annotated[bool, typer.Option("--values", help="Encode the values' texts instead; only new ones.")] = False,
    shards: Annotated[
        int | None, typer.Option(min=1, help="With --values: processes that encode side by side. Default: one.")
    ] = None,
    ray: RayOption = None,
    untuned: Annotated[
        bool, typer.Option("--untuned", help="Use the encoder as published, without an adapter.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="Encoder: minilm, smollm2, a folder, or a hub name. Default: the one that was tuned."),
    ] = None,
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
        from llactr.lifecycle.config import load_config

        if ray is not None and not values:
            raise InputError("--ray goes with --values: the field descriptions are a few texts, for one process")
        section = "values" if values else "semantics"
        settings, name = load_config(config, **{section: {"model": model}}), chosen_dataset(job, dataset)
        if values:
            from llactr.jobs import encode_values

            workers = Workers(shards, ray, threads or None)
            made = encode_values.run(job, name, settings.values, untuned=untuned, workers=workers)
            return made.as_json(), encode_values.describe(made)
        from llactr.jobs import encode as step

        outcome = step.run(
            job,
            name,
            settings.semantics,
            untuned=untuned,
            effective_from=effective_from or "start",
        )
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)
