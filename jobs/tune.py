"""`llactr tune`: searches an arm's settings on the validation split; stopped at any moment, it goes on where it was."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from llactr.ctr.search.space import SearchConfig
from llactr.ctr.search.tune import BEST, TuneSummary, tune_dataset
from llactr.ctr.training.config import TrainJobConfig
from llactr.errors import InputError
from llactr.steps import Job, StepOutcome
from llactr.validation import problems

__all__ = ["describe", "run", "search_config"]


def run(job: Job, dataset: str, config: SearchConfig) -> StepOutcome[TuneSummary]:
    """Brings the search of an arm to so many trials, and writes the best settings for `--config`."""
    return tune_dataset(job, dataset, config)


def search_config(base: TrainJobConfig, flags: dict[str, Any]) -> SearchConfig:
    """A search around a training configuration; a flag that is None was not given.

    Raises:
        InputError: a flag is out of range.
    """
    shared = {name: getattr(base, name) for name in ("backbone", "settings", "training", "enhancement", "values")}
    shared |= {"arm": str(base.arm)} if base.arm else {}
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return SearchConfig.model_validate({**shared, **given})
    except ValidationError as error:
        raise InputError(f"the search is not valid: {problems(error, SearchConfig)}") from None


def describe(outcome: StepOutcome[TuneSummary]) -> str:
    """The best settings, what they reach, and how to use them."""
    made = outcome.result
    best, first = made.best, made.trials[0]
    values = ", ".join(f"{name} {value:.3g}" for name, value in best.values.items())
    defaults = f"{first.auc:.4f}" if first.auc is not None else "a loss that is not finite"
    return (
        f"{made.backbone} {made.arm}: validation AUC {best.auc:.4f} in trial {best.number} of "
        f"{len(made.trials)} (defaults: {defaults})\n  {values}\n"
        f"  use them: llactr train --config {outcome.folder / BEST}"
    )
