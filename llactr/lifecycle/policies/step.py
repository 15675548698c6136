"""The walk as a kept step."""

from __future__ import annotations

import shutil
from pathlib import Path

from llactr.ctr.training.config import has_values
from llactr.ctr.training.fit import resolved_arm
from llactr.evaluation.prequential import PrequentialResult
from llactr.lifecycle.policies.config import WalkConfig
from llactr.lifecycle.policies.models import WalkedRows
from llactr.lifecycle.policies.walk import walk
from llactr.manifest import content_hash
from llactr.steps import Advance, Job, Step, StepOutcome
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash, values_hash
from llactr.store.vectors.summaries import last_encoded_values

__all__ = ["walk_dataset"]


def walk_dataset(job: Job, dataset: str, config: WalkConfig) -> StepOutcome[PrequentialResult]:
    """Compares policies of retraining over a data set's time; see `llactr.lifecycle.policies.walk`.

    Args:
        job: where; the data set has been ingested, encoded and applied.
        dataset: which.
        config: periods, policies, and the model.

    Raises:
        NotReadyError: a step that the arm needs has not been run.
        InputError: there is no period behind the first rows.
        DataError: the rows of a split have one label.
    """
    spec = dataset_spec(job.workspace, dataset)
    model = resolved_arm(job.workspace, dataset, config.train)
    config = config.model_copy(update={"train": model})
    inputs = {"dataset": dataset_hash(job.workspace, dataset), "releases": release_hash(job.workspace, dataset)}
    encoded = last_encoded_values(job.workspace, dataset)
    if encoded is not None and (has_values(str(model.arm)) or "taste" in str(model.arm)):
        inputs["values"] = values_hash(job.workspace, dataset, encoded.result.version)
    settings = config.model_dump(mode="json")
    name = f"{dataset}-{content_hash([settings, inputs])[:12]}"
    running = job.workspace.root / "replays" / "running" / name
    if job.force:
        shutil.rmtree(running, ignore_errors=True)

    def work(_: Path, advance: Advance) -> PrequentialResult:
        advance(0, 0, "point-in-time join")
        found = walk(WalkedRows.of(job, spec, model), config, running, advance)
        told = ", ".join(f"{one.policy} {one.auc:.4f}" for one in found.policies if one.auc is not None)
        advance(1, 1, f"AUC {told}")
        return found

    outcome = job.step(
        Step.REPLAY,
        job.workspace.artifact("replays", name),
        dataset=dataset,
        config=settings,
        inputs=inputs,
        result=PrequentialResult,
        work=work,
    )
    shutil.rmtree(running, ignore_errors=True)
    return outcome
