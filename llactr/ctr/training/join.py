"""The point-in-time training set as a kept step: joined, split, transformed, made anew when its inputs change."""

from __future__ import annotations

from pathlib import Path

from llactr.ctr.training.training_set import TrainingSet
from llactr.steps import Advance, Job, Step, StepOutcome, StepResult
from llactr.store import read_field_vectors, training_rows
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash
from llactr.store.repository.state import repository_state

__all__ = ["JoinSummary", "join"]


class JoinSummary(StepResult):
    """Rows, features of all fields together, the semantics versions among the rows, and how many rows each part has."""

    rows: int
    features: int
    versions: tuple[str, ...]
    split: dict[str, int]


def join(job: Job, dataset: str) -> tuple[StepOutcome[JoinSummary], TrainingSet]:
    """The dataset's point-in-time training set: joined, split, transformed and kept as an artifact."""
    spec = dataset_spec(job.workspace, dataset)

    def work(draft: Path, advance: Advance) -> JoinSummary:
        advance(0, 0, "point-in-time join")
        rows = training_rows(job.workspace, spec)
        built = TrainingSet.build(
            spec, rows, lambda version: read_field_vectors(job.workspace, dataset, version, spec.field_names)
        )
        built.save(draft)
        split = built.data.split
        advance(1, 1, f"{rows.num_rows:,} rows, {built.transform.layout.total_rows:,} features")
        return JoinSummary(
            rows=rows.num_rows,
            features=built.transform.layout.total_rows,
            versions=tuple(vectors.version for vectors in built.vectors),
            split={name: len(getattr(split, name)) for name in ("train", "validation", "test")},
        )

    outcome = job.step(
        Step.JOIN,
        lambda key: job.workspace.artifact("training_sets", f"{dataset}-{key[:12]}"),
        dataset=dataset,
        config={},
        inputs={
            "dataset": dataset_hash(job.workspace, dataset),
            "releases": release_hash(job.workspace, dataset),
            **repository_state(job.workspace, spec),
        },
        result=JoinSummary,
        work=work,
        quiet=True,
    )
    return outcome, TrainingSet.load(outcome.folder)
