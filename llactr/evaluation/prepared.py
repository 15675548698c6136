"""What a choice and a comparison start from: the training set, the runs of a configuration, and what names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llactr.ctr import TrainingSet
from llactr.ctr.training.build import train_config
from llactr.ctr.training.join import join
from llactr.errors import InputError
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.draws import Draws
from llactr.evaluation.rivals.search import check_rivals
from llactr.evaluation.runs import EvaluationRuns
from llactr.manifest import content_hash
from llactr.semantics import ValueSemanticsConfig
from llactr.spec import DatasetSpec
from llactr.steps import Job
from llactr.store.ingested import dataset_spec, values_hash
from llactr.store.vectors.summaries import current_values_version, last_encoded_values

__all__ = ["Prepared", "prepared"]

_NOT_SHARED = {"arms", "seeds", "draws", "backbones", "bootstrap", "margin"}
"""Not in the name of the models' folder: what more of it leaves the models there are as they were."""


@dataclass(frozen=True)
class Prepared:
    """Runs that may be trained.

    Attributes:
        training_set: of the design without held-out rows.
        runs: of the configuration, in the dataset's folder of such runs.
        resolved: the configuration as JSON, with the backbones' training defaults.
        inputs: hashes of what is read.
    """

    training_set: TrainingSet
    runs: EvaluationRuns
    resolved: dict[str, Any]
    inputs: dict[str, str]


def prepared(job: Job, dataset: str, config: EvaluateConfig, semantics: ValueSemanticsConfig) -> Prepared:
    """The runs of a configuration; nothing is trained yet.

    Raises:
        InputError: settings that a backbone does not have, or a rival's package that is not installed.
        NotReadyError: an earlier step has not been run.
        DataError: the test rows have clicks only, or none.
    """
    spec = dataset_spec(job.workspace, dataset)
    inputs = _refuse_missing_values(job, spec, config)
    resolved = _resolved(config, semantics)  # refuses bad settings before the join
    joined, training_set = join(job, dataset)
    training_set.data.check_test_split()  # of every design; else it would be said after all models are trained
    shared = config.model_dump(mode="json", exclude=_NOT_SHARED)
    folder = job.workspace.artifact("evaluation_runs", f"{dataset}-{content_hash([shared, joined.key])[:12]}")
    runs = EvaluationRuns(Draws(job, spec, config, semantics, training_set, joined.key), folder)
    inputs["training_set"] = joined.key
    marks = sorted({mark for arm in config.arms if (mark := runs.draws.histories.mark(arm))})
    if marks:
        inputs["history"] = content_hash(marks)
    return Prepared(training_set, runs, resolved, inputs)


def _refuse_missing_values(job: Job, spec: DatasetSpec, config: EvaluateConfig) -> dict[str, str]:
    """The hash of the value vectors that arms read; what they lack is said before anything is trained.

    Raises:
        InputError: the spec gives no texts, or two arms would be one.
        NotReadyError: `values` is asked for, and none were encoded.
    """
    arms = [arm for arm in config.arms if arm.has_values]
    if not arms:
        return {}
    if not spec.text_fields:
        raise InputError(f"arm {str(arms[0])!r} needs texts of values: no field of {spec.name!r} has a value_text")
    last = last_encoded_values(job.workspace, spec.name)
    if last is None:
        if any(arm.as_encoded for arm in arms):
            current_values_version(job.workspace, spec.name)  # says which command is missing
        return {}
    if last.result.adapter is None and {"encoded", "untuned"} <= {arm.values for arm in arms if not arm.placebo}:
        raise InputError(
            "the values were encoded untuned, so 'values' is 'values untuned': leave one of them out, or tune first "
            "with 'llactr finetune --objective colike' and 'llactr encode --values'"
        )
    return {"values": values_hash(job.workspace, spec.name, last.result.version)}


def _resolved(config: EvaluateConfig, semantics: ValueSemanticsConfig) -> dict[str, Any]:
    check_rivals(arm.rival for arm in config.arms if arm.rival is not None)
    resolved = config.model_dump(mode="json")
    resolved["training"] = _training(config, "plain")
    if any(arm.reads_a_person for arm in config.arms):
        resolved["training_with_past"] = _training(config, "history")
    if any(arm.has_values for arm in config.arms):
        resolved["semantics"] = semantics.model_dump(mode="json")
    return resolved


def _training(config: EvaluateConfig, arm: str) -> dict[str, Any]:
    """How each backbone trains an arm."""
    found = {name: train_config(name, 0, config.training.get(name, {}), arm=arm) for name in config.backbones}
    return {name: one.model_dump(mode="json") for name, one in found.items()}
