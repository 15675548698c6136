"""The runs of an evaluation: draws x backbones x arms x seeds, all trained and kept before the test split is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from llactr.ctr import BackboneName, CTRData, CTRModel, TrainingSet, TrainResult, measure, predict, train
from llactr.ctr.training.build import train_config
from llactr.evaluation.arms import Arm, has_values, is_tuned
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.evidence import Metric, Run
from llactr.evaluation.slices import calibration_error, resamples, row_slices, weighted_auc, weighted_logloss
from llactr.evaluation.treatments import arm_model, arm_tables, draw_rows, draw_vectors
from llactr.manifest import content_hash
from llactr.semantics import ValueSemanticsConfig, ValueVectors
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job
from llactr.store import read_field_vectors, training_rows
from llactr.store.value_texts import read_texts

__all__ = ["EvaluationRuns"]

Cell = tuple[BackboneName, Arm, int]
"""Backbone, arm, seed."""


class EvaluationRuns:
    """All runs, one draw after another: first trained, then tested.

    Every trained model is a file in a folder, so a killed evaluation goes on where it was, and one with more arms,
    seeds or draws trains the new ones alone.

    Args:
        job: where.
        spec: of the dataset.
        config: what is compared.
        semantics: how value vectors are made.
        chronological: the training set of the design without held-out items or rows.
        folder: holds the models.
    """

    def __init__(
        self,
        job: Job,
        spec: DatasetSpec,
        config: EvaluateConfig,
        semantics: ValueSemanticsConfig,
        chronological: TrainingSet,
        folder: Path,
    ) -> None:
        self.job, self.spec, self.config, self.semantics = job, spec, config, semantics
        self.chronological, self.folder = chronological, folder
        self.facts: list[dict[str, Any]] = []
        self.slice_rows: dict[str, list[int]] = {}
        self.test_rows = 0
        self._drawn: tuple[int, TrainingSet, dict[bool, ValueVectors]] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def train_all(self, advance: Advance) -> None:
        """Trains what has not been trained yet; nothing here looks at a test row's label."""
        cells = list(self._cells())
        places = [self._path(draw, *cell) for draw in range(self.config.draw_count) for cell in cells]
        if self.job.force:
            for path in places:
                path.unlink(missing_ok=True)
        for number, path in enumerate(places):
            draw, cell = number // len(cells), cells[number % len(cells)]
            backbone, arm, seed = cell
            advance(number, len(places), self._named(draw, cell))
            if not path.exists():
                model, data = self._model(draw, *cell)
                result = train(model, data, train_config(backbone, seed, self.config.training.get(backbone, {})))
                _save(path, model, {"backbone": backbone, "arm": arm, "draw": draw, "seed": seed, **_facts(result)})
            with safe_open(path, "np") as file:
                self.facts.append(json.loads(file.metadata()["facts"]))

    def test_all(self, advance: Advance) -> dict[BackboneName, list[Run]]:
        """Scores the test split with every model."""
        found: dict[BackboneName, list[Run]] = {backbone: [] for backbone in self.config.backbones}
        train_s = {(one["backbone"], one["arm"], one["draw"], one["seed"]): one["cpu_seconds"] for one in self.facts}
        for draw in range(self.config.draw_count):
            training_set, _ = self._draw(draw)
            test = training_set.data.split.test
            self.test_rows = len(test)
            slices = row_slices(self.spec, training_set.transform, training_set.data.ids[test])
            for name, chosen in slices.items():
                self.slice_rows.setdefault(name, []).append(int(np.count_nonzero(chosen)))
            weights = resamples(len(test), self.config.bootstrap)
            for backbone, arm, seed in self._cells():
                advance(0, 0, f"test: {self._named(draw, (backbone, arm, seed))}")
                model, data = self._model(draw, backbone, arm, seed)
                model.load_state_dict(load_file(self._path(draw, backbone, arm, seed)))
                scores = predict(model, data.ids[test], data.version[test])
                metrics, resampled = _measured(data.label[test], scores, slices, weights)
                seconds = train_s[backbone, arm, draw, seed]
                found[backbone].append(Run(arm, draw, seed, metrics, resampled, train_s=seconds))
        return found

    def _model(self, draw: int, backbone: BackboneName, arm: Arm, seed: int) -> tuple[CTRModel, CTRData]:
        """A fresh model, and the rows that it reads."""
        training_set, vectors = self._draw(draw)
        tables = arm_tables(
            arm, seed, training_set, self._texts if has_values(arm) else {}, self.config, vectors.__getitem__
        )
        data = training_set.data if tables is None else training_set.with_values(tables)
        return arm_model(self.spec, training_set, backbone, arm, seed, self.config, tables), data

    def _draw(self, draw: int) -> tuple[TrainingSet, dict[bool, ValueVectors]]:
        """A draw's training set and its value vectors, tuned and untuned; the last one is remembered."""
        if self._drawn is None or self._drawn[0] != draw:
            training_set = self.chronological
            if self.config.design != "chronological":
                train_rows = draw_rows(self.spec, self._rows, self.config, draw)
                training_set = TrainingSet.build(self.spec, self._rows, self._fields, train_rows=train_rows)
            vectors = {
                tuned: draw_vectors(
                    self.job, self.spec, self._rows, self._texts, self.config, self.semantics,
                    train_rows=training_set.data.split.train, draw=draw, tuned=tuned,
                )
                for tuned in sorted({is_tuned(arm) for arm in self.config.arms if has_values(arm)})
            }  # fmt: skip
            self._drawn = (draw, training_set, vectors)
        return self._drawn[1], self._drawn[2]

    def _fields(self, version: str) -> Any:
        return read_field_vectors(self.job.workspace, self.spec.name, version, self.spec.field_names)

    @cached_property
    def _rows(self) -> pa.Table:
        return training_rows(self.job.workspace, self.spec)

    @cached_property
    def _texts(self) -> dict[str, dict[str, str]]:
        return read_texts(self.job.workspace, self.spec)

    def _named(self, draw: int, cell: Cell) -> str:
        backbone, arm, seed = cell
        return f"{f'draw {draw}, ' * (self.config.draw_count > 1)}{backbone} {arm}, seed {seed}"

    def _cells(self) -> Iterator[Cell]:
        for backbone in self.config.backbones:
            for arm in self.config.arms:
                for seed in range(self.config.seeds):
                    yield backbone, arm, seed

    def _path(self, draw: int, backbone: BackboneName, arm: Arm, seed: int) -> Path:
        # The resolved settings are part of the name: a backbone's defaults may change between two calls.
        settings = [train_config(backbone, seed, self.config.training.get(backbone, {})).model_dump(mode="json")]
        if has_values(arm):
            settings.append(self.semantics.model_dump(mode="json"))
        key = content_hash(settings)[:8]
        return self.folder / f"{draw}-{backbone}-{arm.replace(' ', '_')}-{seed}-{key}.safetensors"


def _save(path: Path, model: CTRModel, facts: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, draft, metadata={"facts": json.dumps(facts)})
    draft.replace(path)


def _facts(result: TrainResult) -> dict[str, Any]:
    return {
        "auc": result.validation.auc,
        "logloss": result.validation.logloss,
        "steps": result.steps,
        "best_step": result.best_step,
        "best_epoch": result.best_epoch,
        "cpu_seconds": result.cpu_seconds,
        "train_loss": [record.train_clicks_loss for record in result.history],
        "validation_auc": [record.validation_auc for record in result.history],
    }


def _measured(
    label: NDArray[np.float32],
    scores: NDArray[np.float32],
    slices: dict[str, NDArray[np.bool_]],
    weights: NDArray[np.float32],
) -> tuple[dict[str, dict[Metric, float | None]], dict[str, dict[Metric, NDArray[np.float64]]]]:
    """Metrics of each slice, and what they are on each resample (weights: resamples x rows)."""
    metrics: dict[str, dict[Metric, float | None]] = {}
    resampled: dict[str, dict[Metric, NDArray[np.float64]]] = {}
    for name, chosen in slices.items():
        found = measure(label[chosen], scores[chosen])
        error = calibration_error(label[chosen], scores[chosen]) if chosen.any() else None
        metrics[name] = {"auc": found.auc, "logloss": found.logloss, "ece": error}
        if found.auc is not None:
            drawn = weights if chosen.all() else weights[:, chosen]
            resampled[name] = {
                "auc": weighted_auc(label[chosen], scores[chosen], drawn),
                "logloss": weighted_logloss(label[chosen], scores[chosen], drawn),
            }
    return metrics, resampled
