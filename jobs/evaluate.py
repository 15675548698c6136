"""`llactr evaluate`: any arms under a hold-out design; all models are trained before the test split is read, once."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from llactr.atomic import write_text
from llactr.evaluation.arms import Arm
from llactr.evaluation.choice import Choice
from llactr.evaluation.choosing import choose_arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.result import EvaluationResult
from llactr.evaluation.step import evaluate
from llactr.evaluation.tables import as_tables, choice_table
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Job, StepOutcome

__all__ = ["choose", "describe", "describe_choice", "run"]


def run(
    job: Job,
    dataset: str,
    config: EvaluateConfig,
    *,
    semantics: ValueSemanticsConfig | None = None,
    results: Path | None = None,
) -> StepOutcome[EvaluationResult]:
    """Trains every arm with every draw and seed, then compares them on the test split.

    Args:
        job: where.
        dataset: which; it needs a release of field vectors.
        config: what is compared.
        semantics: how value vectors are made; the defaults if it is None.
        results: a file that gets the result as JSON, with the command that made it.
    """
    outcome = evaluate(job, dataset, config, semantics or ValueSemanticsConfig())
    if results is not None:
        _write(results, outcome)
    return outcome


def choose(
    job: Job, dataset: str, config: EvaluateConfig, *, backbone: str, semantics: ValueSemanticsConfig
) -> StepOutcome[Choice]:
    """Trains the arms that a backbone may be served with, and chooses one on validation; test is not read."""
    return choose_arm(job, dataset, config, semantics, backbone=backbone)


def describe_choice(choice: Choice) -> str:
    """Which arm is served, by which rule, and the candidates' figures."""
    return choice_table(choice)


def describe(outcome: StepOutcome[EvaluationResult], *, slices: bool = True, served: Arm | None = None) -> str:
    """The arms as tables, with verdicts in words; `slices` adds each slice, what is said of `served` comes first."""
    return as_tables(outcome.result, slices=slices, served=served)


def _write(path: Path, outcome: StepOutcome[EvaluationResult]) -> None:
    kept = {name: part for name, part in outcome.result.as_json().items() if name != "curves"}
    content = {"command": shlex.join(["llactr", *sys.argv[1:]]), "key": outcome.key, **kept}
    write_text(path, json.dumps(content, indent=1) + "\n")
