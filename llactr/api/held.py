"""An opened workspace, and how a method runs a step in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from llactr.extras import naming_extras
from llactr.lifecycle.tracking import tracking
from llactr.steps import Advance, Job, exclusive
from llactr.workspace import Workspace

__all__ = ["HeldWorkspace", "Progress", "section"]

Progress = Callable[[str, int, int, str], None]
"""Called with (step, done, total, note) while a step works; total 0 means unknown."""

Section = TypeVar("Section")


class HeldWorkspace:
    """What the methods of an opened workspace share."""

    def __init__(self, workspace: Workspace, *, progress: Progress | None = None, mlflow: str | None = None) -> None:
        self.workspace = workspace
        self._progress, self._mlflow = progress, mlflow

    @property
    def root(self) -> Path:
        """The workspace's folder, absolute."""
        return self.workspace.root

    def datasets(self) -> list[str]:
        """Names of the ingested datasets, sorted."""
        return self.workspace.datasets()

    @contextmanager
    def writing(self, *, force: bool = False) -> Iterator[Job]:
        """A job that holds the workspace: what this package runs steps in."""
        with tracking(self._mlflow, said=_warn) as watch, naming_extras(), exclusive(self.workspace):
            yield Job(self.workspace, _Watched(self._progress), force=force, watch=watch)


def _warn(said: str) -> None:
    warnings.warn(said, stacklevel=2)


class _Watched:
    """Where a step shows its progress: a function, or nowhere."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    @contextmanager
    def step(self, name: str) -> Iterator[Advance]:
        """Passes on what a step says of itself."""
        said = self._progress

        def advance(done: int, total: int, note: str) -> None:
            if said is not None:
                said(str(name), done, total, note)

        yield advance


def section(name: str, given: Section | Mapping[str, Any] | None) -> Any:
    """A section of the configuration: the one given, or the defaults with what a mapping says.

    Raises:
        InputError: unknown keys or values out of range.
    """
    if given is not None and not isinstance(given, Mapping):
        return given
    from llactr.lifecycle.config import run_config

    return getattr(run_config({name: dict(given or {})}), name)
