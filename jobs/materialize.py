"""`llactr apply` and `llactr materialize`: what `feast apply` and `feast materialize` do in feature_repo/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llactr import store
from llactr.datasets import table_files
from llactr.errors import NotReadyError
from llactr.manifest import content_hash
from llactr.steps import Advance, Job, StepOutcome
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash

__all__ = ["apply", "describe_apply", "describe_materialize", "materialize"]


def apply(job: Job) -> StepOutcome:
    """Registers the definitions of all ingested datasets; those of datasets that are gone are removed."""
    names = _ingested(job)
    specs = {name: content_hash(dataset_spec(job.workspace, name).model_dump(mode="json")) for name in names}

    def work(_: Path, advance: Advance) -> dict[str, Any]:
        views = store.apply(job.workspace)
        advance(1, 1, f"{len(views)} feature views")
        return {"datasets": names, "views": views}

    return _shared_step(job, "apply", names, inputs=specs, work=work)


def materialize(job: Job) -> StepOutcome:
    """Loads every view's newest rows into the online store."""
    names = _ingested(job)
    inputs = {name: dataset_hash(job.workspace, name) for name in names}
    values = table_files(job.workspace.semantics_table("value_semantics"))
    inputs["values"] = content_hash([path.name for path in values])
    inputs |= {f"releases of {name}": release_hash(job.workspace, name) for name in names}

    def work(_: Path, advance: Advance) -> dict[str, Any]:
        def shown(view: str, done: int, total: int) -> None:
            advance(done, total, view)

        views = store.materialize(job.workspace, progress=shown)
        advance(len(views), len(views), f"{len(views)} feature views online")
        return {"datasets": names, "views": {view.name: round(view.seconds, 3) for view in views}}

    return _shared_step(job, "materialize", names, inputs=inputs, work=work)


def _shared_step(job: Job, name: str, datasets: list[str], *, inputs: dict[str, str], work: Any) -> StepOutcome:
    """A step over all datasets of the workspace; its manifest lies beside Feast's registry."""
    # The registry holds absolute paths: in a workspace that was moved or copied nothing is unchanged.
    inputs = inputs | {"where the workspace lies": str(job.workspace.root)}
    outcome = job.step(name, job.workspace.feast / name, dataset=datasets[0], config={}, inputs=inputs, work=work)
    for dataset in datasets[1:]:
        job.workspace.set_current(dataset, name, outcome.folder)
    return outcome


def _ingested(job: Job) -> list[str]:
    names = job.workspace.datasets()
    if not names:
        raise NotReadyError(f"the workspace {job.workspace.root} holds no dataset: run 'llactr ingest SPEC' first")
    return names


def describe_apply(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    return f"registered {', '.join(outcome.result['views'])}"


def describe_materialize(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    return f"online: {', '.join(outcome.result['views'])}"
