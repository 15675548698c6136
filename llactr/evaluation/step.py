"""An evaluation as a kept step: all models are trained before the test split is read, once."""

from __future__ import annotations

import glob
from datetime import UTC, datetime
from typing import Any

from llactr.ctr.training.build import train_config
from llactr.ctr.training.join import join
from llactr.evaluation.comparison import compare
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.draws import Draws
from llactr.evaluation.result import EvaluationResult, TestReading
from llactr.evaluation.runs import EvaluationRuns
from llactr.manifest import MANIFEST, content_hash
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Advance, Job, Step, StepOutcome, outcome_of
from llactr.store.ingested import dataset_spec

__all__ = ["evaluate"]

_NOT_SHARED = {"arms", "seeds", "draws", "backbones", "bootstrap"}
"""Not in the name of the models' folder: what more of it leaves the models there are as they were."""


def evaluate(
    job: Job, dataset: str, config: EvaluateConfig, semantics: ValueSemanticsConfig
) -> StepOutcome[EvaluationResult]:
    """Trains every arm with every draw and seed, then compares them on the test split; see `EvaluationResult`.

    Args:
        job: where.
        dataset: which; it needs a release of field vectors.
        config: what is compared.
        semantics: how value vectors are made.

    Raises:
        InputError: settings that a backbone does not have.
        NotReadyError: an earlier step has not been run.
    """
    spec = dataset_spec(job.workspace, dataset)
    resolved = _resolved(config, semantics)  # refuses bad settings before the join
    joined, training_set = join(job, dataset)
    shared = config.model_dump(mode="json", exclude=_NOT_SHARED)
    folder = job.workspace.artifact("evaluation_runs", f"{dataset}-{content_hash([shared, joined.key])[:12]}")
    runs = EvaluationRuns(Draws(job, spec, config, semantics, training_set), folder)
    return job.step(
        Step.EVALUATE,
        lambda key: job.workspace.artifact("evaluations", f"{dataset}-{config.design}-{key[:12]}"),
        dataset=dataset,
        config=resolved,
        inputs={"training_set": joined.key},
        result=EvaluationResult,
        work=lambda _, advance: _work(job, dataset, runs, advance),
    )


def _resolved(config: EvaluateConfig, semantics: ValueSemanticsConfig) -> dict[str, Any]:
    training = {name: train_config(name, 0, config.training.get(name, {})) for name in config.backbones}
    resolved = config.model_dump(mode="json")
    resolved["training"] = {name: one.model_dump(mode="json") for name, one in training.items()}
    if any(arm.has_values for arm in config.arms):
        resolved["semantics"] = semantics.model_dump(mode="json")
    return resolved


def _work(job: Job, dataset: str, runs: EvaluationRuns, advance: Advance) -> EvaluationResult:
    config = runs.config
    runs.train_all(advance, anew=job.force)
    earlier = _earlier_readings(job, dataset)
    read_at = datetime.now(UTC).isoformat(timespec="seconds")
    comparisons = [compare(backbone, some) for backbone, some in runs.test_all(advance).items()]
    reading = TestReading(
        design=str(config.design),
        draws=config.draw_count,
        seeds=config.seeds,
        rows=runs.test_rows,
        slice_rows={name: tuple(counts) for name, counts in runs.slice_rows.items()},
        read_at=read_at,
        models_before=len(runs.trained),
        earlier_readings=earlier,
    )
    verdicts = [f"{comparisons[0].backbone} {said.arm}: {said.verdict.value}" for said in comparisons[0].judgements]
    advance(1, 1, "; ".join(verdicts) or "done")
    return EvaluationResult.of(reading, comparisons, runs.trained)


def _earlier_readings(job: Job, dataset: str) -> tuple[str, ...]:
    """When this workspace's earlier evaluations of the dataset read the test split."""
    folders = job.workspace.artifact("evaluations", dataset).parent.glob(f"{glob.escape(dataset)}-*/{MANIFEST}")
    made = [outcome_of(path.parent, EvaluationResult) for path in folders]
    return tuple(sorted(one.result.test_reading.read_at for one in made if one))
