"""History of the rows of a training set, as a kept step: the definition, fitted on training rows, and their numbers.

The numbers of a row are those as of its moment. Rows after the training split read the item-item table as it was when
training ended, as a service with the bundle does: scored from pushed states they come out the same.

Legend: N rows, H history numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from llactr.ctr.history_arms import HistoryArm
from llactr.ctr.training.data import Split
from llactr.ctr.training.training_set import TrainingSet
from llactr.errors import InputError
from llactr.history import (
    Events,
    FittedHistory,
    HistoryDefinition,
    ItemSources,
    ItemVectors,
    fit_history,
    history_rows,
    past_counts,
)
from llactr.spec import DatasetSpec, HistorySpec
from llactr.steps import Advance, Job, Step, StepOutcome, StepResult
from llactr.store import events_table
from llactr.store.history import events_of, read_item_sources
from llactr.store.ingested import dataset_spec, values_hash
from llactr.store.vectors.summaries import last_encoded_values
from llactr.workspace import Workspace

__all__ = [
    "HistorySummary",
    "RowHistory",
    "history_folder",
    "history_of",
    "history_step",
    "keep_history",
    "kept_history",
    "made_history",
    "past_of",
    "section_of",
    "values_version",
]

_DEFINITION, _NUMBERS = "definition", "numbers.safetensors"


class HistorySummary(StepResult):
    """A history definition and the numbers of all rows, kept beside this.

    Attributes:
        version: of the definition.
        fields: in the order of the numbers.
        notes: what of the section could not be had.
        median_past: median over the validation rows of how many events of its user a row sees.
    """

    version: str
    fields: tuple[str, ...]
    notes: tuple[str, ...]
    rows: int
    median_past: float

    @classmethod
    def of(cls, history: RowHistory, median_past: float, notes: tuple[str, ...]) -> HistorySummary:
        """Of what `made_history` gave."""
        definition = history.definition
        return cls(
            version=definition.version,
            fields=definition.spec.field_names,
            notes=notes,
            rows=len(history.numbers),
            median_past=median_past,
        )


@dataclass(frozen=True)
class RowHistory:
    """History of rows.

    Attributes:
        definition: fitted on training rows.
        numbers: (N, H) float32, NaN where there is nothing to say; rows of no split are NaN.
    """

    definition: HistoryDefinition
    numbers: NDArray[np.float32]

    def only(self, names: tuple[str, ...]) -> RowHistory:
        """Some of the fields."""
        if names == self.definition.spec.field_names:
            return self
        definition = self.definition.only(names)
        places = [self.definition.spec.columns.index(name) for name in definition.spec.columns]
        return RowHistory(definition, np.ascontiguousarray(self.numbers[:, places]))


def past_of(spec: DatasetSpec) -> HistorySpec:
    """The section that arms with history read; see `DatasetSpec.past`.

    Raises:
        InputError: the dataset has no users, or no items.
    """
    if spec.past is None:
        missing = next(owner for owner in ("user", "item") if owner not in spec.entities)
        raise InputError(
            f"history is of users and items, and {spec.name!r} has no entity {missing!r}: train an arm without history"
        )
    return spec.past


def section_of(arm: HistoryArm, past: HistorySpec) -> HistorySpec:
    """The section whose one pass gives an arm's numbers: the whole one where several arms can share it."""
    alone = arm.taste in {"text", "categories"} or (arm.past == "items" and arm.taste is None)
    return arm.spec(past) if alone else past


def history_of(
    job: Job, dataset: str, arm: HistoryArm, *, joined: str, training_set: TrainingSet
) -> tuple[StepOutcome[HistorySummary], RowHistory]:
    """The history of a training set's rows that an arm reads, made once and kept.

    Args:
        job: where.
        dataset: which.
        arm: which fields.
        joined: the key of the training set.
        training_set: as joined.

    Raises:
        InputError: the dataset has no users or items, or the section has no field of the arm.
        SpecError: the arm reads texts, and none have been encoded.
    """
    spec = dataset_spec(job.workspace, dataset)
    section = section_of(arm, past_of(spec))
    own = arm.spec(section).field_names
    outcome, whole = history_step(job, spec, section, joined=joined, training_set=training_set)
    return outcome, whole.only(tuple(name for name in whole.definition.spec.field_names if name in own))


def history_step(
    job: Job, spec: DatasetSpec, section: HistorySpec, *, joined: str, training_set: TrainingSet
) -> tuple[StepOutcome[HistorySummary], RowHistory]:
    """The history of a training set's rows by a section, made once and kept; see `history_of`."""
    inputs = {"training_set": joined}
    version = values_version(job, spec, section)
    if version is not None:
        inputs["values"] = values_hash(job.workspace, spec.name, version)

    def work(draft: Path, advance: Advance) -> HistorySummary:
        advance(0, 0, "one pass over the events")
        events = events_of(spec, events_table(job.workspace, spec))
        sources = read_item_sources(job.workspace, spec, values_version=version)
        made, median, notes = made_history(section, sources, events, training_set.data.split)
        keep_history(draft, made)
        told = "".join(f"; {note}" for note in notes)
        advance(1, 1, f"{len(events):,} events, {len(made.definition.spec.fields)} fields{told}")
        return HistorySummary.of(made, median, notes)

    outcome = job.step(
        Step.HISTORY,
        lambda key: history_folder(job.workspace, spec.name, key),
        dataset=spec.name,
        config={"section": section.model_dump(mode="json"), "items": "placed by a form"},
        inputs=inputs,
        result=HistorySummary,
        work=work,
    )
    return outcome, kept_history(outcome.folder)


def history_folder(workspace: Workspace, dataset: str, key: str) -> Path:
    """Where the history of a step's key is kept."""
    return workspace.artifact("histories", f"{dataset}-{key[:12]}")


def made_history(
    section: HistorySpec,
    sources: ItemSources,
    events: Events,
    split: Split,
    *,
    change: Callable[[ItemVectors], ItemVectors] | None = None,
) -> tuple[RowHistory, float, tuple[str, ...]]:
    """Fits a definition on the training rows and gives the numbers of all rows of the split, in one pass.

    Rows of no split have not happened: a held-out item has no past before validation.

    Args:
        section: what of the past is read.
        sources: vectors of items.
        events: of all N rows.
        split: which rows are for what.
        change: what a placebo makes of the items' vectors.

    Returns:
        The history, the median number of past events of a validation row's user, and what could not be had.
    """
    used = np.sort(np.concatenate([split.train, split.validation, split.test]))
    happened = events.take(used)
    trained = np.isin(used, split.train)
    fitted: FittedHistory = fit_history(
        section,
        sources,
        happened,
        training=np.flatnonzero(trained),
        before=int(events.time[split.validation].min()),
        change=change,
    )
    numbers = np.full((len(events), len(fitted.definition.spec.columns)), np.nan, np.float32)
    numbers[used] = history_rows(fitted.definition, happened, frozen=~trained)
    past = past_counts(fitted.definition, happened, events.take(split.validation))
    return RowHistory(fitted.definition, numbers), float(np.median(past)), fitted.notes


def values_version(job: Job, spec: DatasetSpec, section: HistorySpec) -> str | None:
    """The version of the texts' vectors that the section reads, where there are some."""
    reads_text = any(getattr(field, "vectors", None) in {"text", "both"} for field in section.fields)
    if not reads_text or not any(field.owner == "item" for field in spec.text_fields):
        return None
    known = last_encoded_values(job.workspace, spec.name)
    return None if known is None else known.result.version


def keep_history(folder: Path, history: RowHistory) -> None:
    """Writes a history into a folder."""
    history.definition.save(folder / _DEFINITION)
    save_file({"numbers": history.numbers}, str(folder / _NUMBERS))


def kept_history(folder: Path) -> RowHistory:
    """The history that was kept in a folder."""
    numbers: dict[str, Any] = load_file(folder / _NUMBERS)
    return RowHistory(HistoryDefinition.load(folder / _DEFINITION), numbers["numbers"])
