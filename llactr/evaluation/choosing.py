"""The choice of the served arm as a kept step: every candidate is judged on validation, test is not read."""

from __future__ import annotations

from pathlib import Path

from llactr.ctr import BackboneName
from llactr.evaluation.choice import RULE, Choice, choose
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.designs import Design
from llactr.evaluation.offer import Offer, offered
from llactr.evaluation.prepared import prepared
from llactr.evaluation.rows import median_past, user_codes
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Advance, Job, Step, StepOutcome, outcome_of
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace

__all__ = ["choose_arm", "chosen_arm"]


def choose_arm(
    job: Job, dataset: str, config: EvaluateConfig, semantics: ValueSemanticsConfig, *, backbone: BackboneName
) -> StepOutcome[Choice]:
    """Trains a backbone's candidate arms with every seed, and chooses one by `llactr.evaluation.choice`.

    The models are kept where an evaluation looks for them, so that it trains none of them again.

    Raises:
        InputError: settings that the backbone does not have.
        NotReadyError: an earlier step has not been run.
    """
    spec = dataset_spec(job.workspace, dataset)
    encoded = Step.ENCODE_VALUES in job.workspace.current(dataset)
    offer = Offer(spec, encoded, median_past(job.workspace, spec))
    arms = offered(offer)
    changes = {"arms": arms, "backbones": (backbone,), "design": Design("chronological")}
    ready = prepared(job, dataset, config.model_copy(update=changes), semantics)

    def work(_: Path, advance: Advance) -> Choice:
        ready.runs.train_all(advance, anew=job.force)
        advance(0, 0, "judging on validation")
        data = ready.training_set.data
        users, rows = user_codes(job.workspace, spec), data.split.validation
        scores = {arm: ready.runs.validation_scores(backbone, arm) for arm in arms}
        whose = None if users is None else users[rows]
        still = {arm: ready.runs.validation_scores(backbone, arm, still=True) for arm in arms if arm.reads_a_person}
        found = choose(
            backbone, data.label[rows], whose, scores, margin=config.margin, still=still, left_out=offer.left_out
        )
        advance(1, 1, f"{backbone} {found.served}: {found.reason}")
        return found

    return job.step(
        Step.CHOOSE,
        lambda key: job.workspace.artifact("choices", f"{dataset}-{backbone}-{key[:12]}"),
        dataset=dataset,
        config=ready.resolved | {"left_out": offer.left_out, "rule": RULE},
        inputs=ready.inputs,
        result=Choice,
        work=work,
    )


def chosen_arm(workspace: Workspace, dataset: str, backbone: BackboneName) -> str | None:
    """The arm that was chosen last, if that was among this backbone's."""
    folder = workspace.current(dataset).get(Step.CHOOSE)
    made = outcome_of(folder, Choice) if folder else None
    return str(made.result.served) if made and made.result.backbone == backbone else None
