"""The steps over all datasets of a workspace: registering their definitions, loading the online store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import Field as Setting

from llactr.datasets import table_files
from llactr.datasets.cautions import rows_ahead
from llactr.errors import NotReadyError
from llactr.manifest import content_hash
from llactr.steps import Advance, Job, Result, Step, StepOutcome, StepResult
from llactr.store.feast.materialize import materialize
from llactr.store.feast.open import apply
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash

__all__ = ["ApplySummary", "MaterializeSummary", "apply_datasets", "materialize_datasets"]


class ApplySummary(StepResult):
    """The datasets registered, and the names of the feature views."""

    datasets: tuple[str, ...]
    views: tuple[str, ...]


class MaterializeSummary(StepResult):
    """The datasets loaded, and the seconds of each feature view.

    `rows_after_now` are, by dataset and entity, rows that are not brought online before their time.
    """

    datasets: tuple[str, ...]
    views: dict[str, float]
    rows_after_now: dict[str, dict[str, int]] = Setting(default_factory=dict)

    @property
    def sentence(self) -> str:
        """All of it in a sentence, without its full stop."""
        return f"online: {', '.join(self.views)}{_said(self.rows_after_now)}"


def apply_datasets(job: Job) -> StepOutcome[ApplySummary]:
    """Registers the definitions of all ingested datasets; those of datasets that are gone are removed.

    Raises:
        NotReadyError: no dataset has been ingested.
    """
    names = _ingested(job)
    specs = {name: content_hash(dataset_spec(job.workspace, name).model_dump(mode="json")) for name in names}

    def work(_: Path, advance: Advance) -> ApplySummary:
        views = apply(job.workspace)
        advance(1, 1, f"{len(views)} feature views")
        return ApplySummary(datasets=tuple(names), views=tuple(views))

    return _shared_step(job, Step.APPLY, names, inputs=specs, result=ApplySummary, work=work)


def materialize_datasets(job: Job) -> StepOutcome[MaterializeSummary]:
    """Loads every view's newest rows into the online store.

    Raises:
        NotReadyError: no dataset has been ingested, or nothing has been applied.
    """
    names = _ingested(job)
    inputs = {name: dataset_hash(job.workspace, name) for name in names}
    values = table_files(job.workspace.semantics_table("value_semantics"))
    inputs["values"] = content_hash([path.name for path in values])
    inputs |= {f"releases of {name}": release_hash(job.workspace, name) for name in names}

    def work(_: Path, advance: Advance) -> MaterializeSummary:
        def shown(view: str, done: int, total: int) -> None:
            advance(done, total, view)

        views = materialize(job.workspace, progress=shown)
        ahead = {name: rows for name in names if (rows := _ahead(job, name))}
        advance(len(views), len(views), f"{len(views)} feature views online{_said(ahead)}")
        return MaterializeSummary(
            datasets=tuple(names),
            views={view.name: round(view.seconds, 3) for view in views},
            rows_after_now=ahead,
        )

    return _shared_step(job, Step.MATERIALIZE, names, inputs=inputs, result=MaterializeSummary, work=work)


def _ahead(job: Job, dataset: str) -> dict[str, int]:
    owners = dataset_spec(job.workspace, dataset).entities
    return rows_ahead({owner: table_files(job.workspace.offline_table(dataset, owner)) for owner in owners})


def _said(ahead: dict[str, dict[str, int]]) -> str:
    rows = [f"{count:,} {owner} rows of {name}" for name, some in ahead.items() for owner, count in some.items()]
    return f"; not online, as they lie after now: {', '.join(rows)}" if rows else ""


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
    inputs = inputs | {"where the workspace lies": str(job.workspace.root)}
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
