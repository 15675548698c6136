"""What makes a job idempotent: an artifact whose manifest has the same key is kept, another one replaces it whole.

What a step made is a frozen model of its own, defined in the room that makes it. The manifest holds it as JSON; it is
validated when it is read back, and an artifact whose result has another shape is made anew.
"""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from llactr.atomic import sweep
from llactr.errors import StepError
from llactr.manifest import content_hash, read_manifest, write_manifest
from llactr.pending import settle
from llactr.system import remove_empty_folders
from llactr.workspace import Workspace

__all__ = [
    "Advance", "Job", "MeasuredStep", "Result", "Step", "StepOutcome", "StepResult", "Terminal", "Watch",
    "exclusive", "outcome_of",
]  # fmt: skip


class Step(StrEnum):
    """Everything that leaves an artifact with a manifest, in the order in which a run comes to it."""

    INGEST = "ingest"
    FINETUNE = "finetune"
    ENCODE = "encode"
    TUNE_VALUES = "tune_values"
    ENCODE_VALUES = "encode_values"
    APPLY = "apply"
    MATERIALIZE = "materialize"
    JOIN = "join"
    WARM_JOIN = "warm_join"
    HISTORY = "history"
    EVALUATION_VALUES = "evaluation_values"
    EVALUATION_HISTORY = "evaluation_history"
    CHOOSE = "choose"
    TRAIN = "train"
    TRAIN_ROWS = "train_rows"
    TUNE = "tune"
    EVALUATE = "evaluate"
    REPLAY = "replay"
    CHECK = "check"
    DIAGNOSE = "diagnose"


class StepResult(BaseModel):
    """What a step says of what it made; each step has a subclass. JSON and back gives an equal object."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    def as_json(self) -> dict[str, Any]:
        """The result as JSON-like data: what the manifest holds."""
        return self.model_dump(mode="json", by_alias=True)


Result = TypeVar("Result", bound=StepResult)
Made = TypeVar("Made", bound=StepResult, covariant=True)


Advance = Callable[[int, int, str], None]
"""Called with (done, total, note) while a step works; total 0 means unknown."""


Watch = Callable[[str, "StepOutcome[Any]"], None]
"""Called with (dataset, outcome) when a step is made, or found already made."""


class Terminal(Protocol):
    """Where a step shows its progress."""

    def step(self, name: str) -> AbstractContextManager[Advance]:
        """Shows a step's progress while the block runs and, when it ends, its time."""


@dataclass(frozen=True)
class StepOutcome(Generic[Made]):
    """What a step made, or found already made.

    `seconds` and `cpu_seconds` are those of the run that made the artifact, `peak_rss_mb` the process's peak until its
    end; `skipped` says that this call did nothing.

    >>> import llactr
    >>> made = llactr.open("shop").encode(untuned=True)
    >>> made.step.value, made.skipped, made.folder.is_dir()
    ('encode', True, True)
    """

    step: Step
    key: str
    folder: Path
    skipped: bool
    seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    result: Made

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON-like data: what `--json` prints."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return content | {
            "step": self.step.value, "folder": str(self.folder), "result": self.result.as_json(),
        }  # fmt: skip


def outcome_of(folder: Path, result: type[Result]) -> StepOutcome[Result] | None:
    """The outcome recorded in an artifact's manifest; None where there is none, or its result is no such `result`."""
    known = read_manifest(folder)
    if not known:
        return None
    try:
        cost = (known["seconds"], known["cpu_seconds"], known["peak_rss_mb"])
        made = result.model_validate(known["result"])
        return StepOutcome(Step(known["step"]), known["key"], folder, True, *cost, made)
    except (KeyError, ValidationError, ValueError):
        return None


class MeasuredStep(Generic[Result]):
    """A step in progress whose key is only known on the way; see `Job.measured`."""

    def __init__(
        self, job: Job, name: Step, result: type[Result], *, dataset: str, folder: Path, advance: Advance
    ) -> None:
        self._job, self._name, self._result, self._dataset, self._folder = job, name, result, dataset, folder
        self.advance = advance
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()
        self._outcome: StepOutcome[Result] | None = None

    @property
    def outcome(self) -> StepOutcome[Result]:
        """What was made, once the step is done or found unchanged."""
        assert self._outcome is not None, "a measured step ends with unchanged() or done()"
        return self._outcome

    def unchanged(self, key: str) -> bool:
        """Whether the folder's artifact has this key already, and `--force` was not given."""
        known = outcome_of(self._folder, self._result)
        if self._job.force or known is None or known.key != key:
            return False
        self._outcome = known
        self._job.keep(self._dataset, known)
        self.advance(1, 1, "unchanged, skipped (--force redoes it)")
        return True

    def done(self, result: Result, note: str) -> None:
        """Adds cost and result to the manifest that the work has written."""
        manifest = read_manifest(self._folder)
        assert manifest is not None, f"{self._name} has written no manifest"
        cost = _cost_since(self._wall, self._cpu)
        write_manifest(self._folder, **{**manifest, **cost, "result": result.as_json()})
        self._outcome = StepOutcome(self._name, manifest["key"], self._folder, False, result=result, **cost)
        self._job.keep(self._dataset, self._outcome)
        self.advance(1, 1, note)


@dataclass(frozen=True)
class Job:
    """Where a job runs and how: the workspace, the terminal, whether unchanged steps are redone, and who is told."""

    workspace: Workspace
    terminal: Terminal
    force: bool = False
    watch: Watch | None = None

    def keep(self, dataset: str, outcome: StepOutcome[Any]) -> None:
        """Makes an outcome's artifact the dataset's latest of its step, and tells whoever watches."""
        self.workspace.set_current(dataset, outcome.step, outcome.folder)
        if self.watch is not None:
            self.watch(dataset, outcome)

    @contextmanager
    def measured(
        self, name: Step, result: type[Result], *, dataset: str, folder: Path
    ) -> Iterator[MeasuredStep[Result]]:
        """A step that writes its own folder and manifest; the caller ends it with `unchanged` or `done`."""
        with self.terminal.step(name) as advance:
            yield MeasuredStep(self, name, result, dataset=dataset, folder=folder, advance=advance)

    def step(
        self,
        name: Step,
        folder: Path | Callable[[str], Path],
        *,
        dataset: str,
        config: dict[str, Any],
        inputs: dict[str, str],
        result: type[Result],
        work: Callable[[Path, Advance], Result],
        quiet: bool = False,
    ) -> StepOutcome[Result]:
        """Runs `work` unless the folder holds what the same config and inputs made.

        Args:
            name: the step, part of the key.
            folder: the artifact's folder, or a function of the key that names it.
            dataset: the dataset whose latest artifact of this step it becomes.
            config: resolved configuration, JSON-like.
            inputs: name -> content hash of everything read.
            result: the model of what `work` returns; an artifact that holds another one is made anew.
            work: gets a draft folder and a progress callback; returns the result kept in the manifest. The draft takes
                the folder's place, with its manifest, when `work` returns.
            quiet: say nothing when the artifact is kept: for a step that is only a part of others.
        """
        key = content_hash({"step": name, "config": config, "inputs": inputs})
        place = folder(key) if callable(folder) else folder
        known = outcome_of(place, result)
        unchanged = known is not None and known.key == key and not self.force
        if quiet and unchanged and known is not None:
            self.keep(dataset, known)
            return known
        with self.terminal.step(name) as advance:
            if unchanged and known is not None:
                advance(1, 1, "unchanged, skipped (--force redoes it)")
                self.keep(dataset, known)
                return known
            with self.workspace.writing(place) as draft:
                wall, cpu = time.perf_counter(), _cpu_seconds()
                made = work(draft, advance)
                cost = _cost_since(wall, cpu)
                facts = {"inputs": inputs, "result": made.as_json(), **cost}
                write_manifest(draft, step=name, key=key, config=config, **facts)
        outcome = StepOutcome(name, key, place, False, result=made, **cost)
        self.keep(dataset, outcome)
        return outcome


def _cost_since(wall: float, cpu: float) -> dict[str, float]:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(_cpu_seconds() - cpu, 3),
        "peak_rss_mb": round(peak_mb, 1),
    }


def _cpu_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@contextmanager
def exclusive(workspace: Workspace) -> Iterator[None]:
    """Holds the workspace for one writing command at a time; a second one is told who has it.

    Raises:
        StepError: another process holds it.
    """
    new = not workspace.root.exists()
    workspace.root.mkdir(parents=True, exist_ok=True)
    place = workspace.root / ".lock"
    with place.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise StepError(
                f"the workspace {workspace.root} is in use by process {lock.read().strip() or 'unknown'}: "
                "wait for it, or give another --workspace"
            ) from None
        try:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            settle(workspace.root)  # what a command left that was killed: its announced changes, then its drafts
            sweep(workspace.root)
            yield
        except BaseException:
            if new and not any(path.is_file() and path != place for path in workspace.root.rglob("*")):
                place.unlink()
                remove_empty_folders(workspace.root)
            raise
