"""A workspace as an object: every step of the command line is a method that returns what the step made."""

from __future__ import annotations

from pathlib import Path

from llactr.api.data_methods import DataMethods
from llactr.api.held import Progress
from llactr.api.inventory_methods import InventoryMethods
from llactr.api.step_methods import StepMethods
from llactr.workspace import Workspace

__all__ = ["OpenWorkspace", "open"]


def open(  # noqa: A001
    path: str | Path | None = None, *, progress: Progress | None = None, mlflow: str | None = None
) -> OpenWorkspace:
    """Opens a workspace: the folder that holds datasets, vectors, models and everything else.

    Nothing is read or created until a method is called.

    Args:
        path: the folder; None for `$LLACTR_WORKSPACE`, else `.llactr`.
        progress: called with (step, done, total, note) while a step works; total 0 means unknown.
        mlflow: where MLflow is told of models, searches and evaluations, such as `sqlite:///mlflow.db`; None for
            `$MLFLOW_TRACKING_URI`, where MLflow is installed.

    >>> import llactr
    >>> llactr.open("shop").datasets()
    ['tiny']
    """
    return OpenWorkspace(Workspace.at(path), progress=progress, mlflow=mlflow)


class OpenWorkspace(StepMethods, DataMethods, InventoryMethods):
    """A workspace: made by `llactr.open`.

    A method that writes holds the workspace while it runs; a second process that wants to write meanwhile is refused.
    A step whose inputs did not change is skipped unless `force` is set. Where a workspace holds one dataset, `dataset`
    may be left out. A `config` is a section of the file that the command line's `--config` takes, as a mapping of
    what differs from the defaults.

    >>> import llactr
    >>> ws = llactr.open("shop")
    >>> ws.root.name, ws.datasets()
    ('shop', ['tiny'])
    """
