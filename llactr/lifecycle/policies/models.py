"""The models of a walk: trained of the rows known at a moment, kept as bundles, and asked for scores.

Rows are joined once, each with the features that held when it came, so that a part of them is what a workspace would
have joined then. Fields' and values' vectors are those of now: what an encoder says of a text stays as it is.

Legend: N rows of the data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP, LABEL, TIMESTAMP
from llactr.ctr import Bundle, TrainConfig
from llactr.ctr.scoring import score_features
from llactr.ctr.training.build import train_config
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.config import TrainJobConfig, history_arm
from llactr.ctr.training.data import Split
from llactr.ctr.training.fit import Trained, fresh_model, kept_bundle, model_facts
from llactr.ctr.training.history import RowHistory, made_history, past_of, section_of, values_version
from llactr.ctr.training.step import Moments
from llactr.ctr.training.trainer import train
from llactr.ctr.training.training_set import TrainingSet
from llactr.ctr.training.warm.config import WarmConfig
from llactr.ctr.training.warm.fit import grown_set, kept_warm, warm_settings
from llactr.ctr.training.warm.rows import warm_rows
from llactr.ctr.training.warm.start import WarmBase
from llactr.ctr.training.warm.state import TrainedState, TrainingFacts
from llactr.history import Events
from llactr.lifecycle.gates import Figures, Gates, Trial, decide, figures_of
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.steps import Job
from llactr.store import read_field_vectors, training_rows
from llactr.store.history import events_of, read_item_sources
from llactr.store.offline import OfflineReader
from llactr.transforms import chronological_split

__all__ = ["WalkedRows"]


@dataclass(frozen=True)
class WalkedRows:
    """All rows of a data set, of which a model may know the first ones.

    Attributes:
        job: where.
        spec: of the data set.
        config: the model, with an arm.
        table: N raw rows in the order of time.
    """

    job: Job
    spec: DatasetSpec
    config: TrainJobConfig
    table: pa.Table

    @classmethod
    def of(cls, job: Job, spec: DatasetSpec, config: TrainJobConfig) -> WalkedRows:
        """Joins the rows; the workspace has been applied."""
        return cls(job, spec, config, training_rows(job.workspace, spec))

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """(N,) event times in microseconds."""
        found: NDArray[np.int64] = self.table[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
        return found

    @cached_property
    def label(self) -> NDArray[np.float32]:
        """(N,) 0 or 1."""
        found: NDArray[np.float32] = self.table[LABEL].to_numpy().astype(np.float32)
        return found

    @cached_property
    def _settings(self) -> TrainConfig:
        return train_config(self.config.backbone, self.config.seed, self.config.training, arm=str(self.config.arm))

    def train_anew(self, folder: Path, known: int) -> None:
        """Trains a model of the first rows, and keeps it in a folder."""
        table, split = self.table.slice(0, known), Split.of(chronological_split(known, self.spec.split))
        made = TrainingSet.build(self.spec, table, self._vectors)
        history = self._history(split, known)
        model, data = fresh_model(self.job.workspace, self.spec, made, self.config, str(self.config.arm), history)
        moments, cold = Moments(), ColdStart.of(self.spec, made.transform, self.config.cold_share)
        result = train(model, data, self._settings, cold=cold, moments=moments)
        facts = TrainingFacts(
            until_us=int(self.times[split.train[-1]]),
            history_before_us=int(self.times[split.validation[0]]),
            tables=f"{known} rows",
            base=None,
            config=model_facts(self.config),
        )
        kept_bundle(
            folder,
            Trained(model, data, made, self.config, self._settings, result),
            spec=self.spec,
            history=None if history is None else history.definition,
            state=TrainedState(facts, moments.tensors),
        )

    def train_on(self, folder: Path, known: int, base: Path, warm: WarmConfig) -> bool:
        """Goes on from a model with what has come since, and keeps the new one in a folder; False for nothing new."""
        ranges, before = chronological_split(known, self.spec.split), WarmBase.load(base)
        facts = before.state.facts
        rows = warm_rows(self.times[:known], ranges, warm, until=facts.until_us, seed=self.config.seed)
        if not rows.new_count:
            return False
        made = grown_set(before, self.spec, self.table.take(pa.array(rows.places)), rows, self._vectors)
        until = int(self.times[ranges.train[-1]])
        kept_warm(
            folder, before, made, rows, self.config,
            warm_settings(self._settings, warm),
            facts.model_copy(update={"until_us": until, "tables": f"{known} rows", "base": base.name}),
            workspace=self.job.workspace, spec=self.spec, warm=warm,
            known=None if before.bundle.history is None else self._events.take(np.arange(known)),
        )  # fmt: skip
        return True

    def scores(self, folder: Path, rows: range) -> NDArray[np.float32]:
        """(R,) what a kept model says of some rows, as a service would at their moments."""
        return score_features(Bundle.load(folder), self._reader, self.table.slice(rows.start, len(rows)))[1]

    def trial(self, challenger: Path, champion: Path, known: int, gates: Gates) -> Trial:
        """Holds one model against another on the newest rows that neither was trained on."""
        ranges = chronological_split(known, self.spec.split)
        test = ranges.test
        label = self.label[test.start : test.stop]
        rate = float(self.label[: len(ranges.train)].mean())

        def figures(folder: Path) -> Figures:
            return figures_of(folder.name, label, self.scores(folder, test))

        constant = figures_of("constant", label, np.full(len(label), rate, np.float32))
        positives = int(np.count_nonzero(label))
        return decide(
            figures(challenger), figures(champion), constant, rows=len(label), positives=positives, gates=gates
        )

    def _vectors(self, version: str) -> FieldVectors:
        return read_field_vectors(self.job.workspace, self.spec.name, version, self.spec.field_names)

    def _history(self, split: Split, known: int) -> RowHistory | None:
        arm = history_arm(str(self.config.arm))
        if arm is None:
            return None
        section = section_of(arm, past_of(self.spec))
        version = values_version(self.job, self.spec, section)
        sources = read_item_sources(self.job.workspace, self.spec, values_version=version)
        whole, _, _ = made_history(section, sources, self._events.take(np.arange(known)), split)
        own = arm.spec(section).field_names
        return whole.only(tuple(name for name in whole.definition.spec.field_names if name in own))

    @cached_property
    def _events(self) -> Events:
        return events_of(self.spec, self.table)

    @cached_property
    def _reader(self) -> OfflineReader:
        return OfflineReader(self.job.workspace, self.spec)
