"""When steps are told to MLflow: asked for by a URI, or by MLflow's own variable where MLflow is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from llactr.errors import StepError
from llactr.extras import naming_extras

if TYPE_CHECKING:
    from llactr.steps import StepOutcome

__all__ = ["URI_VARIABLE", "TrackedSteps", "tracking"]

URI_VARIABLE = "MLFLOW_TRACKING_URI"
"""MLflow's own; with it, and MLflow, every command that makes a figure tells it."""


class TrackedSteps:
    """The outcomes of a command's steps, told when it has ended well: a store that fails never costs a step."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str], tuple[str, StepOutcome[Any]]] = {}

    def __call__(self, dataset: str, outcome: StepOutcome[Any]) -> None:
        """Keeps an outcome; one that was seen before takes its place."""
        self._outcomes[dataset, outcome.key] = (dataset, outcome)

    def tell(self, uri: str) -> int:
        """Writes all that have figures into the store at `uri`, each once; returns how many runs are new.

        Raises:
            StepError: the store refused, or did not answer.
        """
        from llactr.lifecycle.tracking.facts import run_of
        from llactr.lifecycle.tracking.store import RunStore

        runs = [(dataset, run_of(dataset, outcome)) for dataset, outcome in self._outcomes.values()]
        found = [(dataset, run) for dataset, run in runs if run is not None]
        if not found:
            return 0
        store = RunStore(uri)
        return sum(store.add(dataset, run) for dataset, run in found)


@contextmanager
def tracking(uri: str | None, *, said: Callable[[str], None]) -> Iterator[TrackedSteps | None]:
    """Steps of the block are told to MLflow after it.

    Args:
        uri: where; it is tried before the block runs, and a failure afterwards is raised. None for what the variable
            says: nothing happens where it says nothing, or MLflow is not installed, and a failure is only said.
        said: gets such a sentence.

    Yields:
        what a `Job` takes as `watch`; None where nothing is told.

    Raises:
        InputError: a URI was given and MLflow is not installed.
        StepError: a URI was given and its store fails.
    """
    if uri is not None:
        with naming_extras():
            from llactr.lifecycle.tracking.store import RunStore

        RunStore(uri)
        steps = TrackedSteps()
        yield steps
        steps.tell(uri)
        return
    named = os.environ.get(URI_VARIABLE)
    if not named or find_spec("mlflow") is None:
        yield None
        return
    steps = TrackedSteps()
    yield steps
    try:
        steps.tell(named)
    except StepError as error:
        said(f"{error} ({URI_VARIABLE} names it)")
