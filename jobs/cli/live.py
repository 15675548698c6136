"""Commands about what is live: days, policies, promotions, garbage, forgetting, monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.errors import InputError
from llactr.jobs.cli.command import (
    BackboneOption,
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
from llactr.jobs.cli.service import time_option
from llactr.steps import Job

__all__ = ["advance", "forget", "gc", "monitor", "promote", "releases", "replay", "rollback"]

BecauseOption = Annotated[str, typer.Option("--because", help="Why, in a few words; it is kept in the log.")]
ByOption = Annotated[str, typer.Option("--by", help="Who. Default: the login name and the machine.")]


def promote(
    bundle: Annotated[str | None, typer.Argument(help="Bundle id. Default: the one trained last.")] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Promote it although its test figures say that it should not be served.")
    ] = False,
    because: BecauseOption = "",
    by: ByOption = "",
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle the one that is served; running services follow without a restart."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        from llactr.jobs import promote as step

        made = step.run(job, name, bundle=bundle, because=because, by=by, anyway=anyway)
        return made.model_dump(mode="json"), step.describe(made) + step.describe_served(job, name)

    execute(body, workspace=workspace, as_json=as_json)


def advance(
    data: Annotated[Path | None, typer.Option("--data", help="Folder with new rows of the sources.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; nothing is written.")] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Train anew on all rows. Default: go on from the champion, on new rows.")
    ] = False,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """A day: append, encode what is new, materialize, train a challenger, and promote it where it passes the gates."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.lifecycle.config import load_config

        settings, name = load_config(config), chosen_dataset(job, dataset)
        from llactr.jobs import advance as step

        if dry_run:
            steps = step.plan(job, name, settings, data=data, cold=cold)
            return {"dry_run": True, "steps": steps}, "\n".join(steps)
        found = step.run(job, name, settings, data=data, cold=cold)
        return found, step.describe(found)

    execute(body, workspace=workspace, as_json=as_json, threads=threads, writes=not dry_run)


def replay(
    spec: Annotated[str, typer.Argument(help="Dataset spec (YAML), or the name of one that comes with llactr.")],
    every: Annotated[str, typer.Option(help="Length of a period, such as 7d or 12h.")] = "7d",
    first: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of the rows that the first model knows of.")
    ] = 0.5,
    policies: Annotated[
        str, typer.Option(help="Some of never, cold, warm, gated, with commas between.")
    ] = "never,cold,warm,gated",
    backbone: BackboneOption = None,
    arm: Annotated[str | None, typer.Option(help="As llactr train has it. Default: what it would train.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the source files.")] = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare policies of retraining over a data set's time: every row is scored by the model that was live then.

    Nothing of the workspace is served or promoted by it. To hold a service against the events that were pushed to it
    is another thing: llactr check --replay.
    """

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        check_spec(spec)
        from llactr.lifecycle.config import load_config

        settings = load_config(config, train={"backbone": backbone, "arm": arm})
        from llactr.jobs import replay as step

        chosen = step.walk_config(settings, every=every, first=first, policies=policies)
        outcome = step.run(job, spec, settings, chosen, data_folder=data)
        return outcome.as_json(), step.describe(outcome)

    execute(body, workspace=workspace, as_json=as_json, force=force, threads=threads)


def rollback(
    to: Annotated[str | None, typer.Option("--to", help="A former champion. Default: the one before.")] = None,
    because: BecauseOption = "",
    by: ByOption = "",
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the bundle that was served before; running services follow without a restart."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        from llactr.jobs import promote as step

        made = step.back(job, name, to=to, because=because, by=by)
        return made.model_dump(mode="json"), step.describe(made) + step.describe_served(job, name)

    execute(body, workspace=workspace, as_json=as_json)


def releases(
    pin: Annotated[str | None, typer.Option("--pin", help="Keep this bundle whatever its state, from now on.")] = None,
    unpin: Annotated[str | None, typer.Option("--unpin", help="No longer keep it for its own sake.")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List bundles with their states (champion, candidate, retired), and who promoted what, when, and why."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name = chosen_dataset(job, dataset)
        from llactr.jobs import promote as step

        for bundle, pinned in ((pin, True), (unpin, False)):
            if bundle is not None:
                step.keep(job, name, bundle, pinned=pinned)
        states, log = step.releases(job, name)
        content = {
            "bundles": [one.model_dump(mode="json") for one in states],
            "log": [one.model_dump(mode="json") for one in log],
        }
        return content, step.describe_releases(states, log)

    execute(body, workspace=workspace, as_json=as_json, writes=pin is not None or unpin is not None)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, with sizes and reasons.")] = False,
    keep: Annotated[
        int, typer.Option("--keep", min=0, help="Retired bundles, evaluations and searches to keep of each dataset.")
    ] = 3,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what nothing live, nothing pinned and no rule of retention needs; rows of dead versions online too."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.jobs import gc as step

        found = step.plan(job, keep=keep) if dry_run else step.run(job, keep=keep)
        return found, step.describe(found)

    execute(body, workspace=workspace, as_json=as_json, writes=not dry_run)


def forget(
    user: Annotated[list[str] | None, typer.Option("--user", help="A user's key; repeat for several.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A text file with a user a line.")] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Then train without them, and promote that where it passes the gates.")
    ] = False,
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    threads: ThreadsOption = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove users from tables, the online store, logs, services and bundles; a receipt says what was removed where."""

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        from llactr.lifecycle.config import load_config

        if config is not None and not retrain:
            raise InputError("--config says how to train: give --retrain with it, or leave it out")
        settings, name = load_config(config), chosen_dataset(job, dataset)
        from llactr.jobs import forget as step

        receipt = step.run(job, name, users=user or [], file=file, retrain=settings if retrain else None)
        return receipt.model_dump(mode="json"), step.describe(receipt)

    execute(body, workspace=workspace, as_json=as_json, threads=threads)


def monitor(
    bundle: Annotated[str | None, typer.Option(help="Bundle folder or id. Default: the champion.")] = None,
    source: Annotated[
        str | None, typer.Option(help="served (the log) or events (with outcomes). Default: served where there is any.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only rows from this time on, with a zone.")] = None,
    rows: Annotated[int, typer.Option(min=20, help="Rows of a window.")] = 1000,
    windows: Annotated[int, typer.Option(min=1, help="Windows at most, the newest ones.")] = 20,
    metrics: Annotated[Path | None, typer.Option(help="File that gets the figures in Prometheus' text format.")] = None,
    page: Annotated[Path | None, typer.Option(help="File that gets a page with pictures, in HTML.")] = None,
    dataset: DatasetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what came in with what a bundle was trained on; exit code 1 where there is an alarm."""
    quiet = []

    def body(job: Job) -> tuple[dict[str, Any], str | None]:
        name, moment = chosen_dataset(job, dataset), time_option(since)
        if source not in (None, "served", "events"):
            raise InputError(f"--source is {source!r}: choose served or events")
        from llactr.jobs import monitor as step

        found = step.run(
            job,
            name,
            bundle=bundle,
            source=source,
            since=moment,
            rows=rows,
            windows=windows,
            metrics=metrics,
            html=page,
        )
        quiet.append(found.quiet)
        return found.model_dump(mode="json"), step.describe(found)

    execute(body, workspace=workspace, as_json=as_json)
    if quiet == [False]:
        raise typer.Exit(1)
