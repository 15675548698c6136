"""`llactr train`: builds the point-in-time training set and trains one backbone, plain or enhanced, into a bundle."""

from __future__ import annotations

import os

from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.fit import TrainSummary, train_bundle
from llactr.ctr.training.warm.config import WarmConfig
from llactr.ctr.training.warm.step import train_on
from llactr.errors import InputError
from llactr.evaluation.choosing import chosen_arm
from llactr.lifecycle.monitoring.profile import read_profile, write_profile
from llactr.steps import Job, StepOutcome

__all__ = ["describe", "run", "wanted_config"]


def run(
    job: Job, dataset: str, config: TrainJobConfig, *, base: str | None = None, warm: WarmConfig | None = None
) -> StepOutcome[TrainSummary]:
    """Trains one model and keeps it as a bundle, pinned to its semantics version.

    Without an arm it is the one that `llactr run` chose for the backbone, if it did; going on from a bundle, that of
    the bundle.

    Args:
        job: where.
        dataset: which.
        config: the model, and how it is trained.
        base: the bundle to go on from; None to begin anew.
        warm: how to go on from it.

    Raises:
        NotReadyError: a step that the arm needs has not been run.
        InputError: training cannot go on from that bundle, or torchrun started several processes.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise InputError(
            "llactr train trains in one process, and torchrun has started several: run it without torchrun, or train "
            "rows on disk with 'torchrun ... -m llactr.jobs.train_rows'"
        )
    if base is not None:
        outcome = train_on(job, dataset, config, warm or WarmConfig(), base)
    else:
        outcome = train_bundle(job, dataset, wanted_config(job, dataset, config))
    if read_profile(outcome.folder) is None:
        write_profile(job.workspace, outcome.folder)
    return outcome


def wanted_config(job: Job, dataset: str, config: TrainJobConfig) -> TrainJobConfig:
    """The configuration with the arm that `llactr run` chose for the backbone, if it did and none was asked for."""
    if config.arm is not None:
        return config
    chosen = chosen_arm(job.workspace, dataset, config.backbone)
    return TrainJobConfig.model_validate({**config.model_dump(), "arm": chosen})


def describe(outcome: StepOutcome[TrainSummary]) -> str:
    """The outcome in a sentence; what speaks against serving it comes first."""
    made, test = outcome.result, outcome.result.metrics.test
    doubts = f"NOT FIT TO BE SERVED: {'; '.join(made.doubts)}.\n" if made.doubts else ""
    if made.unproven:
        doubts += f"NOT PROVEN: {made.unproven}.\n"
    if made.too_good:
        doubts += f"TOO GOOD TO BE TRUE: {made.too_good}.\n"
    how = "" if made.base is None else f", on from {made.base} by {made.new_rows:,} new rows"
    return (
        f"{doubts}{made.backbone} {made.arm}: test AUC {test.auc:.4f}, logloss {test.logloss:.4f} "
        f"on {test.rows:,} rows{how}, bundle {outcome.folder}"
    )
