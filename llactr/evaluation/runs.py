"""The runs of an evaluation: draws x backbones x arms x seeds, all trained and kept before the test split is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from llactr.ctr import BackboneName, CTRData, CTRModel, predict, train
from llactr.ctr.history import without_level
from llactr.ctr.training.build import train_config
from llactr.ctr.training.calibrated import RULE as CALIBRATED
from llactr.evaluation.arms import Arm
from llactr.evaluation.baselines import baseline_scores, baselines_of
from llactr.evaluation.comparison import Baseline
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.draws import Draws
from llactr.evaluation.evidence import ALL_ROWS, Metric, Run
from llactr.evaluation.histories import arm_columns
from llactr.evaluation.resampling import FEWEST_CARRIERS, Resamples
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.rows import RivalRows
from llactr.evaluation.rivals.search import kept_facts, kept_scores, search_rival
from llactr.evaluation.rows import user_codes
from llactr.evaluation.slices import carriers, row_slices, slice_metrics, trusted, within_users
from llactr.evaluation.trained import TrainedRun, load_weights, save_run, saved_run
from llactr.evaluation.treatments import arm_model
from llactr.manifest import content_hash
from llactr.semantics import ValueSemanticsConfig
from llactr.steps import Advance

__all__ = ["Cell", "EvaluationRuns", "cells", "run_file"]


@dataclass(frozen=True)
class Cell:
    """One run: which draw, and which model of it."""

    draw: int
    backbone: BackboneName
    arm: Arm
    seed: int


def cells(config: EvaluateConfig) -> Iterator[Cell]:
    """All runs, one draw after another."""
    for draw in range(config.draw_count):
        for backbone in config.backbones:
            for arm in config.arms:
                for seed in range(config.seeds):
                    yield Cell(draw, backbone, arm, seed)


def run_file(
    cell: Cell, config: EvaluateConfig, semantics: ValueSemanticsConfig, *, values: str | None = None, past: str = ""
) -> str:
    """The name of a run's file. The resolved settings are part of it: defaults may change between two calls.

    So is the version of the value vectors there are, `values`, and what tells what is read of the past from other such
    readings, `past`. A rival has one file for all backbones.
    """
    if cell.arm.rival is not None:
        key = content_hash([*map(dict, RIVALS[cell.arm.rival].search), *([past] if past else [])])[:8]
        return f"{cell.draw}-{cell.arm.file_name}-{cell.seed}-{key}.safetensors"
    training = config.training.get(cell.backbone, {})
    given = train_config(cell.backbone, cell.seed, training, arm=str(cell.arm))
    settings = [given.model_dump(mode="json"), {"calibrated": CALIBRATED}]
    if cell.arm.has_values:
        settings += [semantics.model_dump(mode="json"), {"values": values}]
    if past:
        settings.append({"history": past})
    key = content_hash(settings)[:8]
    return f"{cell.draw}-{cell.backbone}-{cell.arm.file_name}-{cell.seed}-{key}.safetensors"


class EvaluationRuns:
    """All runs, one draw after another: first trained, then tested.

    Every trained model is a file in a folder, so a killed evaluation goes on where it was, and one with more arms,
    seeds or draws trains the new ones alone.

    Args:
        draws: of which config and dataset.
        folder: holds the models.
    """

    def __init__(self, draws: Draws, folder: Path) -> None:
        self.draws, self.config, self.folder = draws, draws.config, folder
        self.trained: list[TrainedRun] = []
        self.slice_rows: dict[str, list[int]] = {}
        self.splits: dict[str, tuple[int, int]] = {}
        self.test_rows = self.test_users = 0
        self.baselines: tuple[Baseline, ...] = ()
        folder.mkdir(parents=True, exist_ok=True)

    def train_all(self, advance: Advance, *, anew: bool = False) -> None:
        """Trains what has not been trained yet, or everything; nothing here looks at a test row's label."""
        wanted = list(cells(self.config))
        if anew:
            for cell in wanted:
                self._path(cell).unlink(missing_ok=True)
        for number, cell in enumerate(wanted):
            advance(number, len(wanted), self._named(cell))
            if not self._path(cell).exists():
                self._train(cell)
            self.trained.append(self._kept(cell))

    def test_all(self, advance: Advance) -> dict[BackboneName, list[Run]]:
        """Scores the test split with every model."""
        found: dict[BackboneName, list[Run]] = {backbone: [] for backbone in self.config.backbones}
        seconds = {(one.draw, one.backbone, one.arm, one.seed): one.cpu_seconds for one in self.trained}
        simple: list[dict[str, dict[str, dict[Metric, float | None]]]] = []
        codes = user_codes(self.draws.job.workspace, self.draws.spec)
        for draw in range(self.config.draw_count):
            training_set = self.draws[draw].training_set
            test = training_set.data.split.test
            label, self.test_rows = training_set.data.label[test], len(test)
            self.splits = training_set.data.clicks()
            slices = row_slices(self.draws.spec, training_set.transform, training_set.data.ids[test])
            for name, chosen in slices.items():
                self.slice_rows.setdefault(name, []).append(int(np.count_nonzero(chosen)))
            users = None if codes is None else codes[test]
            self.test_users = 0 if users is None else len(np.unique(users))
            drawn = Resamples.of(len(test), self.config.bootstrap, users=users)
            carried = carriers(label, slices, drawn, users)
            scarce = carried[ALL_ROWS]["auc"] if carried[ALL_ROWS]["auc"] < FEWEST_CARRIERS else None
            single = Resamples.of(len(test), 1)
            simple.append(
                {
                    name: slice_metrics(label, scores, slices, single, users)[0]
                    for name, scores in baseline_scores(self.draws.spec, training_set).items()
                }
            )
            for cell in (one for one in cells(self.config) if one.draw == draw):
                advance(0, 0, f"test: {self._named(cell)}")
                scores, rate = self._test_scores(cell)
                metrics, resampled = slice_metrics(label, scores, slices, drawn, users)
                if users is not None and any(arm.reads_a_person for arm in self.config.arms):
                    still = self._still_scores(cell, test) if cell.arm.reads_a_person else scores
                    metrics[ALL_ROWS]["moment_auc"], sample = within_users(label, still, users, drawn)
                    resampled[ALL_ROWS] |= {} if sample is None else {"moment_auc": sample}
                carry = trusted(resampled, carried)
                cost = seconds[cell.draw, cell.backbone, cell.arm, cell.seed]
                run = Run(cell.arm, draw, cell.seed, metrics, carry, cost, rate, drawn.drawn, scarce)
                found[cell.backbone].append(run)
        self.baselines = baselines_of(simple)
        return found

    def validation_scores(self, backbone: BackboneName, arm: Arm, *, still: bool = False) -> list[NDArray[np.float32]]:
        """Click probabilities (N,) of the validation rows by an arm's trained models of draw 0, one a seed.

        Args:
            backbone: whose.
            arm: which; with `still` one that reads a person's past.
            still: as of one moment, without what is the person's own, whatever the candidate.
        """
        found = []
        for seed in range(self.config.seeds):
            cell = Cell(0, backbone, arm, seed)
            rows = self.draws[0].training_set.data.split.validation
            if still:
                found.append(self._still_scores(cell, rows))
                continue
            model, data = self._model(cell)
            load_weights(self._path(cell), model)
            found.append(predict(model, data.ids[rows], data.version[rows]))
        return found

    def _test_scores(self, cell: Cell) -> tuple[NDArray[np.float32], float | None]:
        """Click probabilities (N,) of the test rows, and how many rows a CPU-second gives."""
        if cell.arm.rival is not None:
            return kept_scores(self._path(cell)), kept_facts(self._path(cell)).scored_per_cpu_s
        model, data = self._model(cell)
        load_weights(self._path(cell), model)
        test = data.split.test
        started = time.process_time()
        scores = predict(model, data.ids[test], data.version[test])
        seconds = time.process_time() - started
        return scores, len(test) / seconds if seconds > 0 else None

    def _still_scores(self, cell: Cell, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Those of some rows as of one moment: without what is the person's own past, whatever the candidate."""
        model, data = self._model(cell)
        load_weights(self._path(cell), model)
        assert model.config.history is not None, "the arm reads the past"
        return predict(model, without_level(data.ids[rows], model.config.history), data.version[rows])

    def _kept(self, cell: Cell) -> TrainedRun:
        if cell.arm.rival is None:
            return saved_run(self._path(cell))
        facts = kept_facts(self._path(cell))
        return TrainedRun.of_rival(facts, backbone=cell.backbone, arm=cell.arm, draw=cell.draw)

    def _measured(self, cell: Cell) -> dict[str, NDArray[np.float32]]:
        """Name -> (N,) numbers of the past that a rival reads, those that a model of ours would."""
        key = self.draws.histories.key(cell.arm)
        if key is None or cell.arm.history is None:
            return {}
        past = arm_columns(cell.arm.history, self.draws[cell.draw].histories[key])
        return dict(zip(past.definition.spec.columns, past.numbers.T, strict=True))

    def _train(self, cell: Cell) -> None:
        if cell.arm.rival is not None:
            rows = RivalRows.of(self.draws[cell.draw].training_set, self._measured(cell))
            search_rival(cell.arm.rival, rows, self._path(cell), seed=cell.seed, threads=torch.get_num_threads())
            return
        model, data = self._model(cell)
        changes = self.config.training.get(cell.backbone, {})
        training = train_config(cell.backbone, cell.seed, changes, arm=str(cell.arm))
        result = train(model, data, training)
        kept = TrainedRun.of(result, backbone=cell.backbone, arm=cell.arm, draw=cell.draw, seed=cell.seed)
        save_run(self._path(cell), model, kept)

    def _model(self, cell: Cell) -> tuple[CTRModel, CTRData]:
        key = self.draws.histories.key(cell.arm)
        return arm_model(self.draws[cell.draw], cell.backbone, cell.arm, cell.seed, self.config, history=key)

    def _named(self, cell: Cell) -> str:
        draw = f"draw {cell.draw}, " * (self.config.draw_count > 1)
        return f"{draw}{cell.backbone} {cell.arm}, seed {cell.seed}"

    def _path(self, cell: Cell) -> Path:
        draws = self.draws
        past = draws.histories.mark(cell.arm)
        return self.folder / run_file(cell, self.config, draws.semantics, values=draws.values_version, past=past)
