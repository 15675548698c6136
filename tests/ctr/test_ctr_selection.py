"""Settings are chosen by validation AUC, and by nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from training_fakes import clicks, model

from llactr.ctr import CTRModel, TrainConfig
from llactr.ctr.selection import Choice, Trial, choose
from llactr.errors import InputError


def build(settings: dict[str, Any], seed: int) -> tuple[CTRModel, TrainConfig]:
    config = TrainConfig(seed=seed, batch_size=256, max_epochs=4, min_steps=0, device="cpu", **settings)
    return model("fm"), config


def test_every_combination_is_tried_and_the_one_that_learns_is_chosen() -> None:
    seen: list[Trial] = []
    grid = {"learning_rate": (1e-9, 0.03), "weight_decay": (0.0, 1e-4)}
    choice = choose(grid, build, clicks(1500), seeds=(0, 1), progress=seen.append)
    tried = [(trial.settings["learning_rate"], trial.settings["weight_decay"]) for trial in choice.trials]
    assert tried == [(1e-9, 0.0), (1e-9, 1e-4), (0.03, 0.0), (0.03, 1e-4)]
    assert choice.best.settings["learning_rate"] == 0.03
    assert all(len(trial.validation_auc) == 2 for trial in choice.trials)
    assert tuple(seen) == choice.trials


def test_the_test_split_does_not_matter() -> None:
    data = clicks(900)
    spoilt = data.label.copy()
    spoilt[data.split.test] = 1 - spoilt[data.split.test]
    grid = {"learning_rate": (0.01, 0.03)}
    choices = [choose(grid, build, rows, seeds=(0,)) for rows in (data, dataclasses.replace(data, label=spoilt))]
    assert choices[0] == choices[1]


def test_of_equals_the_first_is_chosen() -> None:
    trials = (Trial({"a": 1}, (0.7, 0.8)), Trial({"a": 2}, (0.75, 0.75)), Trial({"a": 3}, (0.1, 0.2)))
    assert Choice(trials).best.settings == {"a": 1}


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to choose from: give at least one seed, and one value"):
        choose({"weight_decay": ()}, build, clicks(300))
