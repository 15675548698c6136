"""What all commands share: their options, the dataset meant, and how results and errors come out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated, Any

import typer

from llactr.ctr.backbones import BACKBONES
from llactr.errors import LlactrError
from llactr.extras import naming_extras
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.tracking import tracking
from llactr.steps import Job, exclusive
from llactr.system import interrupted, system_failure
from llactr.workspace import Workspace

__all__ = [
    "BACKBONE_NAMES",
    "BackboneOption",
    "ConfigOption",
    "DatasetOption",
    "ForceOption",
    "JsonOption",
    "MlflowOption",
    "RayOption",
    "ThreadsOption",
    "WorkspaceOption",
    "check_spec",
    "chosen_dataset",
    "execute",
]

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="Folder that holds everything. Default: $LLACTR_WORKSPACE or .llactr."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object; logs go to stderr.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Redo the step although its inputs did not change.")]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="Which ingested dataset. Default: the only one there is.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="YAML with the sections semantics, values, train and evaluate; flags win over it."),
]
MlflowOption = Annotated[
    str | None,
    typer.Option(
        "--mlflow", metavar="URI", help="Tell MLflow of it, such as sqlite:///mlflow.db. Default: $MLFLOW_TRACKING_URI."
    ),
]
BACKBONE_NAMES = ", ".join(BACKBONES)
"""For help texts: the names of this package's and of other installed packages' backbones, none of which is imported."""
BackboneOption = Annotated[str | None, typer.Option("--backbone", help=f"One of {BACKBONE_NAMES}.")]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Do it on a Ray cluster (auto, ray://head:10001), or local: a worker for every --threads (1) CPUs.",
    ),
]
_LOG_BYTES = 5_000_000
ThreadsOption = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 takes all cores.")]


def execute(
    body: Callable[[Job], tuple[dict[str, Any], str | None]],
    *,
    workspace: Path | None,
    as_json: bool,
    force: bool = False,
    writes: bool = True,
    threads: int = 0,
    mlflow: str | None = None,
) -> None:
    """Runs a command's body: prints its result, turns errors into one sentence and an exit code.

    Codes: 0; 1 where the step or the machine failed; 2 where the input is at fault; 130 after an interrupt.
    """
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # before torch is imported: spinning threads starve a busy machine
    os.environ["OMP_NUM_THREADS"] = str(threads or os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    terminal = Terminal(as_json=as_json)
    try:
        at = Workspace.at(workspace)
        with tracking(mlflow, said=terminal.note) if writes else nullcontext() as watch, naming_extras():
            job = Job(workspace=at, terminal=terminal, force=force, watch=watch)
            with _log_file(at), exclusive(at) if writes else nullcontext():
                content, text = body(job)
    except BaseException as error:
        if interrupted(error):
            terminal.note("llactr: interrupted; nothing was left half-written")
            raise typer.Exit(130) from None
        said = error if isinstance(error, LlactrError) else system_failure(error)
        if said is None:
            raise
        terminal.failure(said)
        raise typer.Exit(said.exit_code) from None
    terminal.result(content, text)


@contextmanager
def _log_file(workspace: Workspace) -> Iterator[None]:
    """What is logged goes into the workspace's `llactr.log` too, and how the command ended; none without workspace."""
    log = logging.getLogger("llactr")

    class Quiet(RotatingFileHandler):
        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
            """A log that cannot be written (a full disk) is not worth a traceback on stderr, nor the command."""

    try:
        if not os.access(workspace.root, os.W_OK | os.X_OK):  # not there, or read-only
            yield
            return
        handler = Quiet(workspace.root / "llactr.log", maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
    except OSError:  # a folder that cannot be read or written
        yield
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except LlactrError as error:
        log.error("%s: %s", type(error).__name__, error)
        raise
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


def check_spec(name: str) -> None:
    """Reads a spec before anything heavy is imported: a misspelled one is refused at once."""
    from llactr.spec import find_spec, load_spec

    load_spec(find_spec(name))


def chosen_dataset(job: Job, name: str | None) -> str:
    """The dataset meant: the one named, else the only one ingested."""
    return job.workspace.chosen_dataset(name)
