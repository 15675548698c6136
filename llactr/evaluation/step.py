"""An evaluation as a kept step: all models are trained before the test split is read, once."""

from __future__ import annotations

import glob
from datetime import UTC, datetime

from llactr.ctr.training.fit import TrainSummary
from llactr.errors import InputError
from llactr.evaluation.arms import Arm
from llactr.evaluation.comparison import compare
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.prepared import prepared
from llactr.evaluation.result import EvaluationResult, TestReading
from llactr.evaluation.runs import EvaluationRuns
from llactr.evaluation.verdict import RULES
from llactr.manifest import MANIFEST
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Advance, Job, Step, StepOutcome, outcome_of
from llactr.workspace import Workspace

__all__ = ["evaluate", "served_arm"]


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
    served = served_arm(job.workspace, dataset)
    ready = prepared(job, dataset, config.for_served(served), semantics)
    return job.step(
        Step.EVALUATE,
        lambda key: job.workspace.artifact("evaluations", f"{dataset}-{config.design}-{key[:12]}"),
        dataset=dataset,
        config=ready.resolved | {"rules": RULES},
        inputs=ready.inputs,
        result=EvaluationResult,
        work=lambda _, advance: _work(job, dataset, ready.runs, advance),
    )


def _work(job: Job, dataset: str, runs: EvaluationRuns, advance: Advance) -> EvaluationResult:
    config = runs.config
    runs.train_all(advance, anew=job.force)
    earlier = _earlier_readings(job, dataset)
    read_at = datetime.now(UTC).isoformat(timespec="seconds")
    tested = runs.test_all(advance)
    comparisons = [
        compare(backbone, some, margin=config.margin, baselines=runs.baselines) for backbone, some in tested.items()
    ]
    reading = TestReading(
        design=str(config.design),
        draws=config.draw_count,
        seeds=config.seeds,
        rows=runs.test_rows,
        splits=runs.splits,
        users=runs.test_users,
        slice_rows={name: tuple(counts) for name, counts in runs.slice_rows.items()},
        read_at=read_at,
        models_before=len(runs.trained),
        earlier_readings=earlier,
    )
    verdicts = [f"{comparisons[0].backbone} {said.arm}: {said.verdict.value}" for said in comparisons[0].judgements]
    advance(1, 1, "; ".join(verdicts) or "done")
    return EvaluationResult.of(reading, comparisons, runs.trained)


def served_arm(workspace: Workspace, dataset: str) -> Arm | None:
    """The arm of the bundle that was trained last; None where none was, or where evaluations do not know its arm."""
    folder = workspace.current(dataset).get(Step.TRAIN)
    trained = outcome_of(folder, TrainSummary) if folder else None
    try:
        return Arm.parse(trained.result.arm) if trained else None
    except InputError:
        return None


def _earlier_readings(job: Job, dataset: str) -> tuple[str, ...]:
    """When this workspace's earlier evaluations of the dataset read the test split."""
    folders = job.workspace.artifact("evaluations", dataset).parent.glob(f"{glob.escape(dataset)}-*/{MANIFEST}")
    made = [outcome_of(path.parent, EvaluationResult) for path in folders]
    return tuple(sorted(one.result.test_reading.read_at for one in made if one))
