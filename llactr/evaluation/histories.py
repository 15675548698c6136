"""What of the past an evaluation's arms read: one pass over the events for all that can share it, one more a placebo.

A placebo of history is drawn once a draw of the design, not once a seed: its pass costs more than a training.

Legend: N rows, H history fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from llactr.ctr import TrainingSet
from llactr.ctr.history_arms import HistoryArm
from llactr.ctr.training.history import (
    HistorySummary,
    RowHistory,
    history_step,
    keep_history,
    kept_history,
    made_history,
    past_of,
    section_of,
    values_version,
)
from llactr.evaluation.arms import Arm
from llactr.evaluation.placebos import Placebo, Texts
from llactr.history import Events, ItemSources
from llactr.manifest import content_hash
from llactr.semantics import FieldValueVectors, ValueVectors
from llactr.spec import DatasetSpec, HistorySpec, WindowField
from llactr.steps import Advance, Job, Step
from llactr.store import events_table
from llactr.store.history import events_of, read_item_sources

__all__ = ["Histories", "HistoryKey", "arm_columns", "word_vectors"]


@dataclass(frozen=True)
class HistoryKey:
    """Which pass an arm's numbers come from: the section, and the placebo that acts on it, if one does."""

    section: HistorySpec
    placebo: Placebo | None


class Histories:
    """The histories of one dataset's rows.

    Args:
        job: where.
        spec: of the dataset.
        joined: the key of the training set of the design without held-out rows.
        outcome_delay_s: in the place of the spec's; None for the spec's.
    """

    def __init__(self, job: Job, spec: DatasetSpec, *, joined: str, outcome_delay_s: float | None) -> None:
        self._job, self._spec, self._joined, self._delay = job, spec, joined, outcome_delay_s

    def key(self, arm: Arm) -> HistoryKey | None:
        """The pass that an arm's numbers come from; None for an arm that reads no history.

        Raises:
            InputError: the dataset has no users or items.
        """
        if arm.history is None:
            return None
        acts = arm.placebo is not None and arm.placebo.acts_on(history=arm.history)
        return HistoryKey(section_of(arm.history, self._past), arm.placebo if acts else None)

    def mark(self, arm: Arm) -> str:
        """What tells kept models of an arm apart: content hash of the section and of the texts' vectors; empty."""
        key = self.key(arm)
        if key is None:
            return ""
        return content_hash([key.section.model_dump(mode="json"), values_version(self._job, self._spec, key.section)])

    def of_draw(
        self,
        keys: set[HistoryKey],
        training_set: TrainingSet,
        *,
        draw: Mapping[str, object] | None,
        vectors: Callable[[], ValueVectors],
        texts: Callable[[], Texts],
    ) -> dict[HistoryKey, RowHistory]:
        """The histories of a draw, made or found.

        Args:
            keys: which.
            training_set: of the draw.
            draw: what tells it from others; None for the design without held-out rows.
            vectors: those of the values' texts by an encoder that has seen no held-out row; asked for with a `draw`.
            texts: those of the values, for placebos that read them.
        """
        plain = {HistoryKey(key.section, None) for key in keys}
        found: dict[HistoryKey, RowHistory] = {}
        for key in sorted(plain, key=lambda one: content_hash(one.section.model_dump(mode="json"))):
            if draw is None:
                found[key] = history_step(
                    self._job, self._spec, key.section, joined=self._joined, training_set=training_set
                )[1]
            else:
                found[key] = self._step(key.section, None, training_set, draw, vectors, texts)
        for key in keys - plain:
            true = found[HistoryKey(key.section, None)]
            changed = _by_vectors(true.definition.spec)
            if changed is None:
                found[key] = true
                continue
            other = self._step(changed, key.placebo, training_set, draw or {}, vectors if draw else None, texts)
            found[key] = _with_columns(true, other)
        return found

    def _step(
        self,
        section: HistorySpec,
        placebo: Placebo | None,
        training_set: TrainingSet,
        draw: Mapping[str, object],
        vectors: Callable[[], ValueVectors] | None,
        texts: Callable[[], Texts],
    ) -> RowHistory:
        version = values_version(self._job, self._spec, section)

        def work(draft: Path, advance: Advance) -> HistorySummary:
            advance(0, 0, f"one pass over the events{f', {placebo.name} vectors' if placebo else ''}")
            given = vectors() if vectors is not None and version is not None else None
            if placebo is not None and placebo.reads_texts:
                given = word_vectors(self._spec, placebo, texts())
            sources: ItemSources = read_item_sources(
                self._job.workspace, self._spec, values_version=version, vectors=given
            )
            change = None
            if placebo is not None and placebo.items is not None:
                change = lambda items: placebo.items(items, 0)  # noqa: E731
            split = training_set.data.split
            made, median, notes = made_history(section, sources, self._events, split, change=change)
            keep_history(draft, made)
            advance(1, 1, f"{len(self._events):,} events")
            return HistorySummary.of(made, median, notes)

        outcome = self._job.step(
            Step.EVALUATION_HISTORY,
            lambda key: self._job.workspace.artifact("histories", f"{self._spec.name}-{key[:12]}"),
            dataset=self._spec.name,
            config={
                "section": section.model_dump(mode="json"),
                "placebo": None if placebo is None else placebo.name,
                **draw,
            },
            inputs={"training_set": self._joined, "values": version or ""},
            result=HistorySummary,
            work=work,
        )
        return kept_history(outcome.folder)

    @cached_property
    def _past(self) -> HistorySpec:
        past = past_of(self._spec)
        return past if self._delay is None else past.model_copy(update={"outcome_delay": self._delay})

    @cached_property
    def _events(self) -> Events:
        return events_of(self._spec, events_table(self._job.workspace, self._spec))


def arm_columns(arm: HistoryArm, whole: RowHistory) -> RowHistory:
    """The fields of an arm."""
    return whole.only(arm.spec(whole.definition.spec).field_names)


def _by_vectors(section: HistorySpec) -> HistorySpec | None:
    """The part of a section that reads vectors of items; None for none."""
    fields = tuple(one for one in section.fields if not isinstance(one, WindowField) and one.vectors != "item_item")
    return section.model_copy(update={"fields": fields}) if fields else None


def _with_columns(history: RowHistory, other: RowHistory) -> RowHistory:
    """A history with the columns of another in the place of its own."""
    numbers, names = history.numbers.copy(), history.definition.spec.columns
    for at, name in enumerate(other.definition.spec.columns):
        numbers[:, names.index(name)] = other.numbers[:, at]
    return RowHistory(history.definition, numbers)


def word_vectors(spec: DatasetSpec, placebo: Placebo, texts: Texts) -> ValueVectors:
    """What a placebo that reads texts has in the place of value vectors: of all fields in one space.

    What an item is like is the mean of the vectors of all its values, so a word is the same dimension in every field.
    """
    assert placebo.values is not None
    every = {f"{name}\0{value}": text for name, some in texts.items() for value, text in some.items()}
    nothing = FieldValueVectors(tuple(every), np.zeros((len(every), 1), np.float32))
    made = placebo.values(ValueVectors(spec.name, "", "", {"": nothing}), 0, {"": every})
    fields, first = {}, 0
    for name, some in texts.items():
        fields[name] = FieldValueVectors(tuple(some), made.fields[""].vectors[first : first + len(some)])
        first += len(some)
    return replace(made, fields=fields)
