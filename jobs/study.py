"""`llactr study`: arms x backbones x draws x seeds; all models are trained before the test split is read, once."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from jobs.console import Advance
from jobs.dataset import dataset_hash, dataset_spec, release_hash
from jobs.step import Job, StepOutcome
from jobs.study_config import StudyArm, StudyConfig, has_values, is_tuned
from jobs.study_runs import arm_model, arm_tables, draw_rows, draw_vectors
from jobs.train import train_config
from jobs.tune_values import read_texts
from llactr.ctr import BackboneName, TrainingSet, ValueTables, measure, predict, train
from llactr.ctr.slices import calibration_error, row_slices, weighted_auc
from llactr.diagnostics.evidence import Run, differences
from llactr.manifest import content_hash
from llactr.semantics import ValueVectors
from llactr.spec import DatasetSpec
from llactr.store import read_field_vectors, training_rows

__all__ = ["describe", "run"]

Cell = tuple[BackboneName, StudyArm, int]
"""Backbone, arm, seed."""


def run(job: Job, dataset: str, config: StudyConfig, *, results: Path | None = None) -> StepOutcome:
    """Trains and compares; a killed study goes on where it was.

    Args:
        job: where.
        dataset: which; it needs a release of field vectors.
        config: what is compared.
        results: a file that gets the result as JSON, with the command that made it.
    """
    spec = dataset_spec(job.workspace, dataset)
    training = {name: train_config(name, 0, config.training.get(name, {})) for name in config.backbones}
    inputs = {"dataset": dataset_hash(job.workspace, dataset), "releases": release_hash(job.workspace, dataset)}
    shared = config.model_dump(mode="json", exclude={"arms", "seeds", "draws", "backbones", "bootstrap"})
    runs_folder = job.workspace.artifact("study_runs", f"{dataset}-{content_hash([shared, inputs])[:12]}")

    def work(_: Path, advance: Advance) -> dict[str, Any]:
        study = _Study(job, spec, config, runs_folder)
        study.train_all(advance)
        read_at = datetime.now(UTC).isoformat(timespec="seconds")
        found = study.test_all(advance)
        entries = differences(found)
        advance(1, 1, _headline(entries))
        return {
            "design": config.design,
            "draws": config.draw_count,
            "seeds": config.seeds,
            "test_rows": study.test_rows,
            "test_split_read_at": read_at,
            "models_trained_before": len(found),
            "differences": entries,
            "runs": [
                {key: getattr(one, key) for key in ("backbone", "arm", "draw", "seed", "metrics")} for one in found
            ],
            "validation": study.validation,
            "cpu_seconds": study.cost,
        }

    outcome = job.step(
        "study",
        lambda key: job.workspace.artifact("studies", f"{dataset}-{config.design}-{key[:12]}"),
        dataset=dataset,
        config=config.model_dump(mode="json")
        | {"resolved_training": {name: one.model_dump(mode="json") for name, one in training.items()}},
        inputs=inputs,
        work=work,
    )
    if results is not None:
        results.parent.mkdir(parents=True, exist_ok=True)
        content = {"command": " ".join(["llactr", *sys.argv[1:]]), "key": outcome.key, **outcome.result}
        results.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return outcome


class _Study:
    """Draws one after another, first for training, then for the test."""

    def __init__(self, job: Job, spec: DatasetSpec, config: StudyConfig, folder: Path) -> None:
        self.job, self.spec, self.config, self.folder = job, spec, config, folder
        self.rows = training_rows(job.workspace, spec)
        self.texts = read_texts(job.workspace, spec)
        self.validation: list[dict[str, Any]] = []
        self.cost: dict[str, float] = {}
        self.test_rows = 0
        folder.mkdir(parents=True, exist_ok=True)

    def train_all(self, advance: Advance) -> None:
        """Trains what has not been trained yet; nothing here looks at a test row's label."""
        total = self.config.draw_count * len(list(self._cells()))
        done = 0
        for draw in range(self.config.draw_count):
            training_set, vectors = self._draw(draw)
            for backbone, arm, seed in self._cells():
                path = self._path(draw, backbone, arm, seed)
                advance(done, total, f"draw {draw}: {backbone} {arm}, seed {seed}")
                if not path.exists():
                    tables = self._tables(arm, seed, training_set, vectors)
                    data = training_set.data if tables is None else training_set.with_values(tables)
                    model = arm_model(self.spec, training_set, backbone, arm, seed, self.config, tables)
                    changes = self.config.training.get(backbone, {})
                    result = train(model, data, train_config(backbone, seed, changes))
                    facts = {
                        "backbone": backbone, "arm": arm, "draw": draw, "seed": seed, "auc": result.validation.auc,
                        "logloss": result.validation.logloss, "steps": result.steps, "best_step": result.best_step,
                        "cpu_seconds": result.cpu_seconds,
                    }  # fmt: skip
                    draft = path.with_suffix(".draft")
                    state = {name: value.contiguous() for name, value in model.state_dict().items()}
                    save_file(state, draft, metadata={"facts": json.dumps(facts)})
                    draft.replace(path)
                self._note(path)
                done += 1

    def test_all(self, advance: Advance) -> list[Run]:
        """Scores the test split with every model."""
        found = []
        for draw in range(self.config.draw_count):
            training_set, vectors = self._draw(draw)
            test = training_set.data.split.test
            self.test_rows = len(test)
            label = training_set.data.label[test]
            slices = row_slices(self.spec, training_set.transform, training_set.data.ids[test])
            weights = _resamples(len(test), self.config.bootstrap)
            for backbone, arm, seed in self._cells():
                advance(0, 0, f"test, draw {draw}: {backbone} {arm}, seed {seed}")
                tables = self._tables(arm, seed, training_set, vectors)
                data = training_set.data if tables is None else training_set.with_values(tables)
                model = arm_model(self.spec, training_set, backbone, arm, seed, self.config, tables)
                model.load_state_dict(load_file(self._path(draw, backbone, arm, seed)))
                scores = predict(model, data.ids[test], data.version[test])
                metrics, resampled = {}, {}
                for name, chosen in slices.items():
                    measured = measure(label[chosen], scores[chosen])
                    error = calibration_error(label[chosen], scores[chosen]) if chosen.any() else None
                    metrics[name] = {"auc": measured.auc, "logloss": measured.logloss, "ece": error}
                    if measured.auc is not None:
                        resampled[name] = weighted_auc(label[chosen], scores[chosen], weights[:, chosen])
                found.append(Run(backbone, arm, draw, seed, metrics, resampled))
        return found

    def _draw(self, draw: int) -> tuple[TrainingSet, dict[bool, ValueVectors]]:
        train_rows = draw_rows(self.spec, self.rows, self.config, draw)

        def fields(version: str) -> Any:
            return read_field_vectors(self.job.workspace, self.spec.name, version, self.spec.field_names)

        training_set = TrainingSet.build(self.spec, self.rows, fields, train_rows=train_rows)
        needed = {is_tuned(arm) for arm in self.config.arms if has_values(arm)}
        vectors = {
            tuned: draw_vectors(
                self.job, self.spec, self.rows, self.texts, self.config, train_rows=train_rows, draw=draw, tuned=tuned
            )
            for tuned in sorted(needed)
        }
        return training_set, vectors

    def _tables(
        self, arm: StudyArm, seed: int, training_set: TrainingSet, vectors: dict[bool, ValueVectors]
    ) -> ValueTables | None:
        return arm_tables(arm, seed, training_set, self.texts, self.config, vectors.__getitem__)

    def _cells(self) -> Iterator[Cell]:
        for backbone in self.config.backbones:
            for arm in self.config.arms:
                for seed in range(self.config.seeds):
                    yield backbone, arm, seed

    def _path(self, draw: int, backbone: BackboneName, arm: str, seed: int) -> Path:
        # The resolved settings are part of the name: a backbone's defaults may change between two calls.
        settings = train_config(backbone, seed, self.config.training.get(backbone, {})).model_dump(mode="json")
        key = content_hash(settings)[:8]
        return self.folder / f"{draw}-{backbone}-{arm.replace(' ', '_')}-{seed}-{key}.safetensors"

    def _note(self, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            facts = json.loads(file.metadata()["facts"])
        self.validation.append(facts)
        name = f"{facts['backbone']} {facts['arm']}"
        self.cost[name] = round(self.cost.get(name, 0.0) + facts["cpu_seconds"], 3)


def _resamples(rows: int, count: int) -> NDArray[np.float64]:
    """(count, rows) how often each resample holds each row; the same for every run of a study."""
    rng = np.random.default_rng(7)
    return np.stack([np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(count)]).astype(
        np.float64
    )


def _headline(entries: list[dict[str, Any]]) -> str:
    shown = [one for one in entries if one["arm"] == "values" and (one["slice"], one["metric"]) == ("all", "auc")]
    return ", ".join(f"{one['backbone']} values {one['difference']:+.4f}" for one in shown) or "done"


def describe(outcome: StepOutcome) -> str:
    """Mean AUC and differences per slice, with the three intervals."""
    facts = outcome.result
    lines = [
        f"{facts['design']}: {facts['draws']} draws x {facts['seeds']} seeds, {facts['test_rows']:,} test rows, "
        f"read once at {facts['test_split_read_at']} after {facts['models_trained_before']} models were trained",
        f"{'backbone':<9} {'arm':<21} {'slice':<18} {'plain':>7} {'arm':>7} {'diff':>8}  {'over draws':<20} "
        f"{'over seeds':<20} over rows",
    ]
    for one in facts["differences"]:
        if one["metric"] == "auc":
            spans = [_span(one[name]) for name in ("over_draws", "over_seeds", "over_rows")]
            lines.append(
                f"{one['backbone']:<9} {one['arm']:<21} {one['slice']:<18} {one['baseline_mean']:7.4f} "
                f"{one['arm_mean']:7.4f} {one['difference']:+8.4f}  {spans[0]:<20} {spans[1]:<20} {spans[2]}"
            )
    return "\n".join(lines)


def _span(interval: list[float] | tuple[float, float] | None) -> str:
    return "-" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"
