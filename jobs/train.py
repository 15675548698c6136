"""`llactr train`: builds the point-in-time training set and trains one backbone, plain or enhanced, into a bundle."""

from __future__ import annotations

from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.fit import TrainSummary, train_bundle
from llactr.evaluation.choosing import chosen_arm
from llactr.lifecycle.monitoring.profile import read_profile, write_profile
from llactr.steps import Job, StepOutcome

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, config: TrainJobConfig) -> StepOutcome[TrainSummary]:
    """Trains one model and keeps it as a bundle, pinned to its semantics version.

    Without an arm it is the one that `llactr run` chose for the backbone, if it did.

    Raises:
        NotReadyError: a step that the arm needs has not been run.
    """
    if config.arm is None:
        chosen = chosen_arm(job.workspace, dataset, config.backbone)
        config = TrainJobConfig.model_validate({**config.model_dump(), "arm": chosen})
    outcome = train_bundle(job, dataset, config)
    if read_profile(outcome.folder) is None:
        write_profile(job.workspace, outcome.folder)
    return outcome


def describe(outcome: StepOutcome[TrainSummary]) -> str:
    """The outcome in a sentence; what speaks against serving it comes first."""
    made, test = outcome.result, outcome.result.metrics.test
    doubts = f"NOT FIT TO BE SERVED: {'; '.join(made.doubts)}.\n" if made.doubts else ""
    return (
        f"{doubts}{made.backbone} {made.arm}: test AUC {test.auc:.4f}, logloss {test.logloss:.4f} "
        f"on {test.rows:,} rows, bundle {outcome.folder}"
    )
