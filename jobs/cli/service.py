"""Commands around the online service: `llactr serve`, `push`, `check`, `skew`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.errors import InputError
from llactr.jobs.cli.command import DatasetOption, JsonOption, WorkspaceOption, chosen_dataset, execute
from llactr.steps import Job

__all__ = ["check", "push", "serve", "skew", "time_option"]


def serve(
    bundle: Annotated[str | None, typer.Option(help="Bundle folder or id. Default: the last one trained.")] = None,
    compare_bundle: Annotated[
        str | None, typer.Option(help="A second bundle, scored beside the first on demand.")
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(help="Another bundle, which scores a share of the requests beside their answers.")
    ] = None,
    shadow_share: Annotated[
        float | None, typer.Option(help="Share of users, or of requests without one, for it. Default: 0.1.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Serve it although its test figures say that it should not be.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(help="Address; beyond loopback, keys are needed. Default: 127.0.0.1.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port, 0 for a free one. Default: 8080.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port. Default: 1.")] = None,
    cache_ttl_s: Annotated[
        float | None, typer.Option(help="Reuse item features so long; 0 never. Default: 60.")
    ] = None,
    history_freshness_s: Annotated[
        float | None,
        typer.Option(help="Reuse items' states of history so long, where the store does not say what changed."),
    ] = None,
    log_rate: Annotated[float | None, typer.Option(help="Share of users whose requests to log. Default: 0.")] = None,
    deadline_ms: Annotated[int | None, typer.Option(help="Longest time for a request. Default: 1000.")] = None,
    max_concurrency: Annotated[int | None, typer.Option(help="Requests under way, then 429. Default: 64.")] = None,
    max_rows: Annotated[int | None, typer.Option(help="Rows or candidates of one request. Default: 1000.")] = None,
    max_body_bytes: Annotated[int | None, typer.Option(help="Size of a request's body. Default: 1000000.")] = None,
    max_connections: Annotated[int | None, typer.Option(help="Open connections. Default: 1024.")] = None,
    cache_items: Annotated[int | None, typer.Option(help="Items and values kept at most. Default: 50000.")] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Host name to answer to; repeat for several. Default: local names.")
    ] = None,
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
        "shadow": shadow,
        "shadow_share": shadow_share,
        "anyway": anyway or None,
        "host": host,
        "port": port,
        "workers": workers,
        "cache_ttl_s": cache_ttl_s,
        "history_freshness_s": history_freshness_s,
        "log_rate": log_rate,
        "deadline_ms": deadline_ms,
        "max_concurrency": max_concurrency,
        "max_rows": max_rows,
        "max_body_bytes": max_body_bytes,
        "max_connections": max_connections,
        "cache_items": cache_items,
        "allowed_hosts": tuple(allowed_host) if allowed_host else None,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "dataset": dataset,
    }

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        if not job.workspace.datasets():
            raise InputError(f"no dataset in {job.workspace.root}: run 'llactr quickstart' first, or give --workspace")
        from llactr.jobs import serve as step

        step.run(step.configuration(job.workspace, settings, flags))
        return {"ended": True}, ""

    execute(body, workspace=workspace, as_json=as_json, writes=False, threads=1)


def check(
    url: Annotated[
        str | None, typer.Option(help="A running service, such as http://127.0.0.1:8080. Default: the online store.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="Without --url: bundle folder or id. Default: the last one trained.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Test rows to compare.")] = 1000,
    replay: Annotated[
        int | None,
        typer.Option(
            min=1, help="Instead: this many test rows, each scored by a service of its own, then pushed to it."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="With --replay: processes of the service.")] = 2,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the online store, or a running service, with the offline path: same ids, same scores."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        if url is not None and bundle is not None:
            raise InputError("--bundle goes without --url: a service says itself which bundle it has")
        if url is not None and replay is not None:
            raise InputError("--replay starts a service of its own: leave out --url")
        from llactr.jobs import check as step

        if replay is not None:
            replayed = step.replay(job, name, rows=replay, bundle=bundle, workers=workers)
            return replayed, step.replay_sentence(replayed)
        if url is None:
            outcome = step.check_store(job, name, bundle=bundle, rows=rows)
            return outcome.as_json(), step.describe_store(outcome)
        found = step.check_url(job, name, url=url, rows=rows)
        return found, step.describe(found)

    execute(body, workspace=workspace, as_json=as_json)


def push(
    file: Annotated[
        Path | None,
        typer.Argument(help="Events in a .parquet, .csv, .json or .jsonl file. Without one: what services logged."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="A running service to push through. Default: the store.")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Push events: into the history that is served, and into the dataset."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        from llactr.jobs import push as step

        found = step.run(job, name, file=file, url=url)
        return found, step.describe(found)

    execute(body, workspace=workspace, as_json=as_json, writes=url is None)


def skew(
    since: Annotated[str | None, typer.Option(help="Only rows served from this time on, with a zone.")] = None,
    share: Annotated[float, typer.Option(help="Of the users, each with all logged rows: a share above 0.")] = 1.0,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the served-feature log with the offline store."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from_time, name = time_option(since), chosen_dataset(job, dataset)
        from llactr.jobs import skew as step

        found = step.run(job, name, since=from_time, share=share)
        return found, step.describe(found)

    execute(body, workspace=workspace, as_json=as_json, writes=False)


def time_option(text: str | None) -> datetime | None:
    """The moment that `--since` names; None for none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"--since is {text!r}: give a time such as 2026-01-31T12:00:00+00:00") from None
