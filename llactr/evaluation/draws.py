"""What all arms of a draw share: its training set, and the vectors of all values.

`values` means the same everywhere: the vectors that `llactr encode --values` made last, which a bundle has too. Where
their encoder was tuned, a design that holds items or rows out tunes anew for each draw: it must not have seen them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors.numpy import load_file, save_file

from llactr.ctr import TrainingSet
from llactr.ctr.training.history import RowHistory
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.histories import Histories, HistoryKey
from llactr.evaluation.placebos import Texts
from llactr.semantics import (
    FieldValueVectors,
    FieldVectors,
    ValueSemanticsConfig,
    ValueVectors,
    load_encoder,
    tune_colike,
    values_version,
)
from llactr.semantics.tuning.likes import item_text_field, likes, too_few_windows
from llactr.semantics.tuning.run import TuningRun
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepResult
from llactr.store import read_field_vectors, read_value_vectors, training_rows
from llactr.store.ingested import dataset_hash
from llactr.store.repository.state import repository_state
from llactr.store.value_texts import read_texts
from llactr.store.vectors.summaries import last_encoded_values

__all__ = ["Draw", "Draws"]

_VECTORS = "vectors.safetensors"


class DrawnValues(StepResult):
    """The value vectors of a draw, kept beside this: their version and encoder, and what tuning measured, if any."""

    version: str
    encoder: str
    model: str | None = None
    windows: int | None = None
    items: int | None = None
    loss_before: float | None = None
    loss_after: float | None = None
    run: TuningRun | None = None


@dataclass(frozen=True)
class Draw:
    """A draw.

    Attributes:
        training_set: of its training rows.
        values: value vectors, by whether they are those encoded last (else of the encoder as published).
        texts: the values' texts; empty where no arm has value vectors.
        histories: those that the arms read.
    """

    training_set: TrainingSet
    values: dict[bool, ValueVectors]
    texts: Texts
    histories: dict[HistoryKey, RowHistory] = field(default_factory=dict)


class Draws:
    """The draws of an evaluation; the one asked for last is remembered.

    Args:
        job: where.
        spec: of the dataset.
        config: what is compared.
        semantics: how value vectors are made.
        chronological: the training set of the design without held-out items or rows.
        joined: that one's key.
    """

    def __init__(
        self,
        job: Job,
        spec: DatasetSpec,
        config: EvaluateConfig,
        semantics: ValueSemanticsConfig,
        chronological: TrainingSet,
        joined: str,
    ) -> None:
        self.job, self.spec, self.config, self.semantics = job, spec, config, semantics
        self.chronological = chronological
        self.histories = Histories(job, spec, joined=joined, outcome_delay_s=config.outcome_delay)
        self._last: tuple[int, Draw] | None = None

    @cached_property
    def values_version(self) -> str | None:
        """The version of the values encoded last; None where none were, or where it does not matter."""
        last = last_encoded_values(self.job.workspace, self.spec.name)
        return last.result.version if last is not None else None

    def __getitem__(self, draw: int) -> Draw:
        """A draw by its number."""
        if self._last is None or self._last[0] != draw:
            self._last = (draw, self._made(draw))
        return self._last[1]

    def _made(self, draw: int) -> Draw:
        training_set = self.chronological
        if self.config.design.has_draws:
            train_rows = self.config.design.training_rows(
                self.spec, self._rows, held_share=self.config.held_share, draw=draw
            )
            training_set = TrainingSet.build(self.spec, self._rows, self._fields, train_rows=train_rows)
        arms = [arm for arm in self.config.arms if arm.has_values]
        own = {arm.as_encoded for arm in arms if not (arm.placebo and arm.placebo.reads_texts)}
        histories = self._histories(training_set, draw)
        if not arms:
            return Draw(training_set, {}, {}, histories)
        values = {encoded: self._values(training_set, draw, encoded=encoded) for encoded in sorted(own or {True})}
        some = next(iter(values.values()))  # words alone are counted: whose vectors they replace does not matter
        both = {encoded: values.get(encoded, some) for encoded in (True, False)}
        return Draw(training_set, both, self._texts, histories)

    def _histories(self, training_set: TrainingSet, draw: int) -> dict[HistoryKey, RowHistory]:
        """What the arms read of the past; texts as published where the draw must not see all rows."""
        keys = {key for arm in self.config.arms if (key := self.histories.key(arm)) is not None}
        facts = {"design": str(self.config.design), "draw": draw, "held_share": self.config.held_share}
        return self.histories.of_draw(
            keys,
            training_set,
            draw=facts if self.config.design.has_draws else None,
            vectors=lambda: self._values(training_set, draw, encoded=False),
            texts=lambda: self._texts,
        )

    def _values(self, training_set: TrainingSet, draw: int, *, encoded: bool) -> ValueVectors:
        """Those encoded last, or those of the encoder as published; tuned anew where the draw must not see all rows."""
        last = last_encoded_values(self.job.workspace, self.spec.name)
        tuned = encoded and last is not None and last.result.adapter is not None
        if last is not None and (tuned or last.result.adapter is None) and not (tuned and self.config.design.has_draws):
            wanted = {field: list(some) for field, some in self._texts.items()}
            return read_value_vectors(self.job.workspace, self.spec, last.result.version, wanted)
        return self._vectors(training_set, draw, tuned=tuned)

    def _vectors(self, training_set: TrainingSet, draw: int, *, tuned: bool) -> ValueVectors:
        """The vectors of all values by the encoder as published, or tuned on the likes of the draw's training rows."""
        config = self.semantics.model_dump(mode="json", include=None if tuned else {"encoder"})
        if tuned:
            config |= {"design": str(self.config.design), "draw": draw, "held_share": self.config.held_share}
        outcome = self.job.step(
            Step.EVALUATION_VALUES,
            lambda key: self.job.workspace.artifact("evaluation_values", f"{self.spec.name}-{key[:12]}"),
            dataset=self.spec.name,
            config=config,
            inputs={
                "dataset": dataset_hash(self.job.workspace, self.spec.name),
                **repository_state(self.job.workspace, self.spec),
            },
            result=DrawnValues,
            work=lambda draft, advance: self._encode(draft, advance, training_set, draw, tuned=tuned),
        )
        stored = load_file(outcome.folder / _VECTORS)
        fields = {field: FieldValueVectors(tuple(some), stored[field]) for field, some in self._texts.items()}
        return ValueVectors(self.spec.name, outcome.result.version, outcome.result.encoder, fields)

    def _encode(
        self, draft: Path, advance: Advance, training_set: TrainingSet, draw: int, *, tuned: bool
    ) -> DrawnValues:
        name = f"draw {draw}" if tuned else "untuned"
        advance(0, 0, f"{name}: loading the encoder")
        encoder = load_encoder(self.semantics.encoder)
        facts: dict[str, Any] = {}
        if tuned:
            items = dict(self._texts[item_text_field(self.spec)])
            training = self._rows.take(pa.array(training_set.data.split.train))
            windows, words = likes(self.spec, training, items, window=self.semantics.colike.window)
            if too_few_windows(windows, self.semantics.colike):
                advance(0, 0, f"{name}: too few successive likes to tune on, the encoder as published is used")
                windows = windows[:0]
            facts = {} if not len(windows) else tune_colike(
                encoder, words, windows, self.semantics.colike,
                progress=lambda state: advance(state.step, state.steps, f"{name}: tuning, loss {state.loss or 0:.2f}"),
            ).to_json()  # fmt: skip
        vectors = {field: encoder.encode(list(some.values())) for field, some in self._texts.items()}
        save_file(vectors, draft / _VECTORS)
        advance(1, 1, f"{name}: {sum(map(len, vectors.values())):,} values encoded")
        return DrawnValues(version=values_version(self.spec, encoder), encoder=encoder.name, **facts)

    def _fields(self, version: str) -> FieldVectors:
        return read_field_vectors(self.job.workspace, self.spec.name, version, self.spec.field_names)

    @cached_property
    def _rows(self) -> pa.Table:
        return training_rows(self.job.workspace, self.spec)

    @cached_property
    def _texts(self) -> dict[str, dict[str, str]]:
        return read_texts(self.job.workspace, self.spec)
