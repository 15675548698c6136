"""One data set through the product's own steps: ingest, tune and encode, join, train all arms, read test once.

Arms that read the past of a person, of items alone, and those that read none have weight decays of their own: the best of
three (DeepFM: of two) on validation for one of them (`history taste`, `items`, `plain`), as rivals' settings are searched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llactr.ctr.metrics import measure
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.offer import CANDIDATES
from llactr.evaluation.prepared import prepared
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.search import kept_facts
from llactr.evaluation.rows import median_past
from llactr.evaluation.runs import EvaluationRuns
from llactr.jobs import encode, encode_values, finetune, ingest, materialize, tune_values
from llactr.jobs.cli.console import Terminal
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.semantics.tuning.likes import can_tune
from llactr.spec import DatasetSpec
from llactr.steps import Job, Step
from llactr.store.vectors.tuning import why_untuned
from llactr.workspace import Workspace
from research.datasets.tables import SPECS, prepared as prepared_tables, spec_of
from research.many.chosen import chosen, told
from research.many.judged import judged

__all__ = ["Group", "Plan", "choose_anew", "groups_of", "run_set"]

FIELDS = ("paper", "paper permuted", "fre", "fre permuted", "fie", "fie permuted")
UNTUNED = ("values untuned", "values untuned permuted", "values words")
PAST = ("history", "history taste")
PLACEBOS = ("history taste permuted", "history taste words")
TUNED = ("values", "values untuned")
ITEMS = Arm.parse("items")
TREES = ("lightgbm", "catboost")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is run of every set. The first backbone has all arms, the others those that may be its best ones."""

    data: Path
    cache: Path
    backbones: tuple[str, ...] = ("fm", "deepfm")
    seeds: int = 2
    rivals: tuple[str, ...] = tuple(RIVALS)
    bootstrap: int = 200
    tuned: bool = False
    decays: tuple[float, ...] = (0.0, 1e-4, 1e-3)

    def decays_of(self, backbone: str) -> tuple[float, ...]:
        """Those tried; the two largest for any but the first backbone, as deep ones without decay only take longer."""
        return self.decays if backbone == self.backbones[0] else self.decays[-2:]


@dataclasses.dataclass(frozen=True)
class Group:
    """Arms of a backbone that share a weight decay, and that of them by which it is chosen; rivals have none."""

    backbone: str
    arms: tuple[Arm, ...]
    searched: Arm


def groups_of(spec: DatasetSpec, plan: Plan) -> tuple[Group, ...]:
    """The arms that a set has the columns for.

    Placebos of history are those of the first backbone, and of the texts' vectors: where there are none, taste reads
    none. `values` tuned on likes are a study of their own, as what was encoded last is also what taste reads.
    """
    found = []
    for backbone in plan.backbones:
        first = backbone == plan.backbones[0]
        if plan.tuned:
            found.append(Group(backbone, (PLAIN, *map(Arm.parse, TUNED)), PLAIN))
            continue
        names: list[str] = [*FIELDS] if first else []
        if spec.text_fields:
            names += UNTUNED if first else UNTUNED[:1]
        found.append(Group(backbone, (PLAIN, *map(Arm.parse, (*names, *(plan.rivals if first else ())))), PLAIN))
        if {"user", "item"} <= set(spec.entities):
            found.append(Group(backbone, (ITEMS,), ITEMS))
            names = [*PAST]
            if first:
                names += PLACEBOS if spec.text_fields else ()
                names += [f"{tree} {PAST[-1]}" for tree in TREES if tree in plan.rivals]
            found.append(Group(backbone, tuple(map(Arm.parse, names)), Arm.parse(PAST[-1])))
    return tuple(found)


def run_set(name: str, plan: Plan, *, earlier: Sequence[str] = ()) -> dict[str, Any]:
    """All arms of a set, and what came out; what was trained before is not trained again.

    Args:
        name: of the set.
        plan: what is run.
        earlier: when its test rows were read before.
    """
    folder = prepared_tables(name, plan.data, plan.cache / "tables")
    job = Job(Workspace.at(plan.cache / "workspaces" / name), Terminal(as_json=False))
    semantics, values, spec = SemanticsConfig(), ValueSemanticsConfig(), spec_of(name)
    steps: list[Any] = [
        ingest.run(job, str(SPECS / f"{name}.yaml"), data_folder=folder),
        finetune.run(job, name, semantics),
        encode.run(job, name, semantics, untuned=False, effective_from="start"),
        materialize.apply(job),
    ]
    if plan.tuned:
        reason = "its items have no texts" if not can_tune(spec) else why_untuned(job.workspace, spec, values)
        if reason:
            return {"set": name, "left_out": reason}
        steps.append(tune_values.run(job, name, values))
    if spec.text_fields:  # what was encoded last is what taste reads
        steps.append(encode_values.run(job, name, values, untuned=not plan.tuned))
    groups, tried = groups_of(spec, plan), []
    runs = []
    for group in groups:
        some = list(_searched(job, name, group, plan))
        best = max(some, key=lambda one: one["auc"])["weight_decay"]
        tried.append({"backbone": group.backbone, "arm": str(group.searched), "tried": some})
        runs.append(_runs(job, name, group, plan, {"weight_decay": best}))
    found = judged(job, name, runs, earlier=earlier)
    found["cpu_s"] = {step.step.value: round(step.cpu_seconds, 1) for step in steps} | found["cpu_s"]
    found["cpu_s"]["search"] = round(sum(one["cpu_s"] for group in tried for one in group["tried"]), 1)
    rivals = [arm.file_name for group in groups for arm in group.arms if arm.rival is not None]
    return {"set": name, **found, "tried": tried, "searches": [_search(job, name, rival) for rival in rivals]}


def choose_anew(kept: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """What is kept of a set, with the choice that the product would make of its models now; test is not read.

    Models that are gone from the workspace are trained again, with the weight decay that was chosen.
    """
    name = kept["set"]
    job = Job(Workspace.at(plan.cache / "workspaces" / name), Terminal(as_json=False))
    decays = {
        (one["backbone"], one["arm"]): max(one["tried"], key=lambda run: run["auc"])["weight_decay"]
        for one in kept["tried"]
    }
    plan = dataclasses.replace(plan, seeds=kept["reading"]["seeds"], rivals=())
    runs = []
    for group in groups_of(spec_of(name), plan):
        searched = (group.backbone, str(group.searched))  # earlier sets have one decay for all that read a past
        decay = {"weight_decay": decays.get(searched, decays.get((group.backbone, PAST[-1])))}
        runs.append(_runs(job, name, dataclasses.replace(group, arms=_served(group.arms)), plan, decay))
        with job.terminal.step(Step.TRAIN) as advance:
            runs[-1].train_all(advance)
            advance(1, 1, f"{group.backbone} {', '.join(map(str, _served(group.arms)))}")
    backbones = [backbone | {"chosen": told(chosen(job, backbone["backbone"], runs))} for backbone in kept["backbones"]]
    return {**kept, "backbones": backbones, "past": median_past(job.workspace, spec_of(name))}


def _served(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Those that a product could serve: no placebos, none that are a part of another."""
    candidates = {*(str(one.arm) for one in CANDIDATES), UNTUNED[0]}
    return tuple(arm for arm in arms if str(arm) in candidates)


def _runs(
    job: Job, name: str, group: Group, plan: Plan, training: Mapping[str, float], *, arms: Sequence[Arm] = ()
) -> EvaluationRuns:
    config = EvaluateConfig.model_validate(
        {
            "backbones": [group.backbone], "seeds": 1 if arms else plan.seeds, "bootstrap": plan.bootstrap,
            "training": {group.backbone: dict(training)},
        }
    )  # fmt: skip
    chosen = config.model_copy(update={"arms": tuple(arms or group.arms)})
    return prepared(job, name, chosen, ValueSemanticsConfig()).runs


def _searched(job: Job, name: str, group: Group, plan: Plan) -> Iterator[dict[str, float]]:
    """Models of one seed with each weight decay, on validation; rivals are searched too."""
    for decay in plan.decays_of(group.backbone):
        runs = _runs(job, name, group, plan, {"weight_decay": decay}, arms=(group.searched,))
        with job.terminal.step(Step.TRAIN) as advance:
            runs.train_all(advance)
            (scores,) = runs.validation_scores(group.backbone, group.searched)
            advance(1, 1, f"{group.backbone} {group.searched}, weight decay {decay:g}")
        data = runs.draws[0].training_set.data
        found = measure(data.label[data.split.validation], scores)
        assert found.auc is not None
        assert found.logloss is not None
        yield {
            "weight_decay": decay, "auc": found.auc, "logloss": found.logloss,
            "cpu_s": round(runs.trained[0].cpu_seconds, 2),
        }  # fmt: skip


def _search(job: Job, name: str, rival: str) -> dict[str, Any]:
    """What a rival's search with the first seed tried."""
    found = job.workspace.root.glob(f"evaluation_runs/{name}-*/0-{rival}-0-*.safetensors")
    kept = kept_facts(max(found, key=lambda path: path.stat().st_mtime)).model_dump(mode="json")
    return {"arm": rival.replace("_", " "), **kept}
