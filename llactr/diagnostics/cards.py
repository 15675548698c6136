"""The parts of a report, each made from what the steps said of their results."""

from __future__ import annotations

import glob

import numpy as np
from pydantic import TypeAdapter

from llactr.columns import EVENT_TIMESTAMP
from llactr.ctr import TrainingSet
from llactr.ctr.search.tune import TuneSummary
from llactr.datasets import RECIPES
from llactr.diagnostics.outcomes import Outcomes
from llactr.diagnostics.report_data import (
    Consistency,
    DataCard,
    FieldAccuracy,
    FieldCard,
    ServedModel,
    SplitCard,
    StepCost,
    TunedDimension,
    TunedTrial,
    Tuning,
    ValuesCard,
)
from llactr.diagnostics.value_neighbours import ValueSimilarity
from llactr.manifest import MANIFEST
from llactr.spec import DatasetSpec
from llactr.spec.descriptions import poor_descriptions
from llactr.steps import StepOutcome, StepResult, outcome_of
from llactr.store import events_table
from llactr.workspace import Workspace

__all__ = ["accuracy_card", "consistency_card", "data_card", "searches", "served_card", "step_cost", "values_card"]


def accuracy_card(outcomes: Outcomes) -> FieldAccuracy | None:
    """Field accuracy before and after tuning; None without tuning, or without held-out values."""
    if outcomes.finetune is None:
        return None
    made = outcomes.finetune.result
    if made.before.accuracy is None or made.after.accuracy is None:
        return None
    return FieldAccuracy(
        fields=made.before.fields,
        before=made.before.accuracy,
        after=made.after.accuracy,
        confusion_before=made.before.confusion,
        confusion_after=made.after.confusion,
        held_out=made.values_held_out,
    )


def values_card(
    spec: DatasetSpec, outcomes: Outcomes, similar: dict[str, ValueSimilarity] | None = None
) -> ValuesCard | None:
    """The state of the values' vectors, and how alike they are; None where the spec gives no texts."""
    if not spec.text_fields:
        return None
    names = tuple(field.name for field in spec.text_fields)
    if outcomes.encode_values is None:
        return ValuesCard(text_fields=names)
    encoded, trained, checked = outcomes.encode_values.result, outcomes.train, outcomes.check
    return ValuesCard(
        text_fields=names,
        version=encoded.version,
        encoder=encoded.encoder,
        tuned=encoded.adapter is not None,
        values=encoded.values,
        used=trained is not None and trained.result.values_version == encoded.version,
        placed_rows=checked.result.rows_with_placed_values if checked else None,
        similar=similar or {},
    )


def served_card(outcomes: Outcomes) -> ServedModel | None:
    """The bundle that was trained last; None where none was, or on another training set than the one there is."""
    trained, chosen = outcomes.train, outcomes.choose
    if trained is None:
        return None
    made, test = trained.result, trained.result.metrics.test
    choice = chosen.result if chosen is not None else None
    fits = choice is not None and (choice.backbone, str(choice.served)) == (made.backbone, made.arm)
    return ServedModel(
        bundle=trained.folder.name,
        backbone=made.backbone,
        arm=made.arm,
        doubts=made.doubts,
        choice=choice if fits else None,
        **test.model_dump(),
    )


def consistency_card(outcomes: Outcomes) -> Consistency | None:
    """Whether online and offline agreed when that was last compared; None where it was not."""
    if outcomes.check is None:
        return None
    made = outcomes.check.result
    return Consistency(
        rows=made.rows,
        rows_with_other_ids=made.rows_with_other_ids,
        max_score_difference=made.max_score_difference,
        tolerance=made.tolerance,
    )


def step_cost(outcome: StepOutcome[StepResult]) -> StepCost:
    """What a step cost when it was last done."""
    return StepCost(
        name=outcome.step,
        seconds=outcome.seconds,
        cpu_s=outcome.cpu_seconds,
        peak_rss_bytes=int(outcome.peak_rss_mb * 2**20),
    )


def data_card(workspace: Workspace, spec: DatasetSpec, outcomes: Outcomes) -> DataCard | None:
    """The dataset, its splits where they were made, and its fields."""
    if outcomes.ingest is None:
        return None
    made, rule = outcomes.ingest.result, spec.label
    span = TypeAdapter(dict[str, object]).dump_python({"start": made.start, "end": made.end}, mode="json")
    return DataCard(
        description=spec.description,
        credit=RECIPES[spec.recipe].credit if spec.recipe else "",
        label=rule.words,
        rows=made.rows,
        positives=round(made.positives * made.rows),
        users=made.users,
        items=made.items,
        dropped_rows=made.dropped,
        splits=_splits(workspace, spec, outcomes),
        fields=tuple(FieldCard(**one.model_dump(include=set(FieldCard.model_fields))) for one in made.fields),
        warnings=(*made.warnings, *poor_descriptions(spec)),
        **span,
    )


def _splits(workspace: Workspace, spec: DatasetSpec, outcomes: Outcomes) -> tuple[SplitCard, ...]:
    if outcomes.join is None:
        return ()
    data = TrainingSet.load(outcomes.join.folder).data
    times = events_table(workspace, spec)[EVENT_TIMESTAMP]
    cards = []
    for name in ("train", "validation", "test"):
        rows = getattr(data.split, name)
        cards.append(
            SplitCard(
                name=name,
                rows=len(rows),
                positives=int(np.count_nonzero(data.label[rows])),
                start=times[int(rows[0])].as_py().isoformat(),
                end=times[int(rows[-1])].as_py().isoformat(),
            )
        )
    return tuple(cards)


def searches(workspace: Workspace, dataset: str) -> tuple[Tuning, ...]:
    """The dataset's searches, of each backbone and arm the one that was made last."""
    latest: dict[tuple[str, str], Tuning] = {}
    folders = workspace.artifact("searches", dataset).parent.glob(f"{glob.escape(dataset)}-*/{MANIFEST}")
    for manifest in sorted(folders, key=lambda path: path.stat().st_mtime_ns):
        made = outcome_of(manifest.parent, TuneSummary)
        if made is not None and made.result.dataset == dataset:
            found = _search(made.result)
            latest[found.backbone, found.arm] = found
    return tuple(latest[key] for key in sorted(latest))


def _search(made: TuneSummary) -> Tuning:
    return Tuning(
        backbone=made.backbone,
        arm=made.arm,
        seeds=made.seeds,
        dimensions=tuple(TunedDimension(**one.model_dump()) for one in made.dimensions),
        trials=tuple(TunedTrial(**one.model_dump()) for one in made.trials),
    )
