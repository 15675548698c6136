"""The steps over all datasets of a workspace: registering their definitions, loading the online store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from llactr.datasets import table_files
from llactr.errors import NotReadyError
from llactr.manifest import content_hash
from llactr.steps import Advance, Job, Result, Step, StepOutcome, StepResult, outcome_of
from llactr.store.events.filling import filling_again
from llactr.store.feast.materialize import materialize
from llactr.store.feast.online_state import online_runs, registered_views
from llactr.store.feast.open import apply, store_identity
from llactr.store.history import known_definitions, known_versions, states_hash, write_states
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash

__all__ = ["ApplySummary", "MaterializeSummary", "apply_datasets", "materialize_datasets"]


class ApplySummary(StepResult):
    """The datasets registered, and the names of the feature views."""

    datasets: tuple[str, ...]
    views: tuple[str, ...]


class MaterializeSummary(StepResult):
    """What was brought online.

    Attributes:
        datasets: those loaded.
        views: the seconds of each feature view.
        runs: the run's name by view, as the online store's marks have it.
        removed: by view, rows taken out because their keys have left the sources.
        waiting: by view, rows that are dated ahead and not online.
        next_moment: the first of these rows' event time; None for none.
    """

    datasets: tuple[str, ...]
    views: dict[str, float]
    runs: dict[str, str]
    removed: dict[str, int]
    waiting: dict[str, int]
    next_moment: datetime | None

    @property
    def told(self) -> str:
        """What a person would not expect, behind a semicolon; empty for nothing."""
        told = ""
        if self.removed:
            rows = ", ".join(f"{number:,} of {view}" for view, number in self.removed.items())
            told += f"; removed, since they have left the sources: {rows}"
        if self.waiting and self.next_moment is not None:
            rows = ", ".join(f"{number:,} rows of {view}" for view, number in self.waiting.items())
            told += (
                f"; dated ahead, and not online: {rows}, the first from {self.next_moment:%Y-%m-%d %H:%M:%S} UTC on: "
                "run 'llactr materialize' then"
            )
        return told


def apply_datasets(job: Job) -> StepOutcome[ApplySummary]:
    """Registers the definitions of all ingested datasets; those of datasets that are gone are removed.

    Raises:
        NotReadyError: no dataset has been ingested.
    """
    names = _ingested(job)
    specs = {name: content_hash(dataset_spec(job.workspace, name).model_dump(mode="json")) for name in names}
    specs |= {f"history of {name}": "there" for name in names if known_versions(job.workspace, name)}

    def work(_: Path, advance: Advance) -> ApplySummary:
        views = apply(job.workspace)
        advance(1, 1, f"{len(views)} feature views")
        return ApplySummary(datasets=tuple(names), views=tuple(views))

    known = outcome_of(job.workspace.feast / Step.APPLY, ApplySummary)
    if known is not None and list(known.result.views) != registered_views(job.workspace):
        job = replace(job, force=True)  # another registry, or one that was deleted: nothing is unchanged there
    return _shared_step(job, Step.APPLY, names, inputs=specs, result=ApplySummary, work=work)


def materialize_datasets(job: Job) -> StepOutcome[MaterializeSummary]:
    """Loads every view's newest rows into the online store.

    States of history are brought up to all events first, those of every version that a bundle was trained with.

    Raises:
        NotReadyError: no dataset has been ingested, or nothing has been applied.
    """
    names = _ingested(job)
    for name in names:
        _bring_states_up(job, name)
    inputs = {name: dataset_hash(job.workspace, name) for name in names}
    values = table_files(job.workspace.semantics_table("value_semantics"))
    inputs["values"] = content_hash([path.name for path in values])
    inputs |= {f"releases of {name}": release_hash(job.workspace, name) for name in names}
    inputs |= {f"states of {name}": states for name in names if (states := states_hash(job.workspace, name))}

    def work(_: Path, advance: Advance) -> MaterializeSummary:
        def shown(view: str, done: int, total: int) -> None:
            advance(done, total, view)

        with filling_again() if given.force else nullcontext():
            views = materialize(job.workspace, progress=shown)
        moments = [view.next_moment for view in views if view.next_moment is not None]
        summary = MaterializeSummary(
            datasets=tuple(names),
            views={view.name: round(view.seconds, 3) for view in views},
            runs={view.name: view.run for view in views},
            removed={view.name: view.removed for view in views if view.removed},
            waiting={view.name: view.later for view in views if view.later},
            next_moment=min(moments, default=None),
        )
        advance(len(views), len(views), f"{len(views)} feature views online{summary.told}")
        return summary

    given = job
    if not _still_online(job):
        job = replace(job, force=True)
    return _shared_step(job, Step.MATERIALIZE, names, inputs=inputs, result=MaterializeSummary, work=work)


def _bring_states_up(job: Job, dataset: str) -> None:
    """Pushes the events that came since onto the states of history there are."""
    versions = known_versions(job.workspace, dataset)
    if not versions:
        return
    with job.terminal.step("states") as advance:
        spec = dataset_spec(job.workspace, dataset)
        written = [write_states(job.workspace, spec, one) for one in known_definitions(job.workspace, dataset)]
        advance(1, 1, f"{sum(one.states for one in written):,} new states of {len(versions)} history versions")


def _still_online(job: Job) -> bool:
    """Whether what was brought online last is there, whole, and no waiting row's moment has come since."""
    known = outcome_of(job.workspace.feast / Step.MATERIALIZE, MaterializeSummary)
    if known is None:
        return True  # nothing to hold on to
    moment = known.result.next_moment
    if moment is not None and moment <= datetime.now(UTC):
        return False
    return online_runs(job.workspace) == known.result.runs


def _shared_step(
    job: Job,
    name: Step,
    datasets: list[str],
    *,
    inputs: dict[str, str],
    result: type[Result],
    work: Callable[[Path, Advance], Result],
) -> StepOutcome[Result]:
    """A step over all datasets of the workspace; its manifest lies beside Feast's registry."""
    # The registry holds absolute paths: in a workspace that was moved or copied nothing is unchanged.
    inputs = inputs | {"where the workspace lies": str(job.workspace.root)} | store_identity(job.workspace)
    outcome = job.step(
        name, job.workspace.feast / name, dataset=datasets[0], config={}, inputs=inputs, result=result, work=work
    )
    for dataset in datasets[1:]:
        job.workspace.set_current(dataset, name, outcome.folder)
    return outcome


def _ingested(job: Job) -> list[str]:
    names = job.workspace.datasets()
    if not names:
        raise NotReadyError(f"the workspace {job.workspace.root} holds no dataset: run 'llactr ingest SPEC' first")
    return names
