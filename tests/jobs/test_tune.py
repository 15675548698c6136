from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from llactr.ctr.search import objective
from llactr.ctr.search.space import SearchConfig, TunedSettings
from llactr.ctr.search.study import JOURNAL
from llactr.ctr.search.tune import BEST
from llactr.ctr.training.join import join
from llactr.errors import InputError, NotReadyError
from llactr.jobs import diagnose, train, tune
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.config import load_config
from llactr.semantics import FieldValueVectors, ValueVectors
from llactr.steps import Job
from llactr.workspace import Workspace

SMALL = {"max_epochs": 2, "min_steps": 0, "batch_size": 256}


def _job(ran, **options) -> Job:
    return Job(Workspace.at(ran.workspace), Terminal(as_json=True), **options)


def _search(**changes) -> SearchConfig:
    return SearchConfig.model_validate({"backbone": "fm", "arm": "paper", "trials": 3, "training": SMALL, **changes})


def test_tune_searches_goes_on_and_is_skipped(ran):
    first = tune.run(_job(ran), "tiny", _search())
    facts = first.result.as_json()
    assert [one["name"] for one in facts["dimensions"]] == ["learning_rate", "weight_decay", "lambda_fre", "lambda_fie"]
    assert facts["trials"][0]["values"] == {
        "learning_rate": 1e-3, "weight_decay": 1e-8, "lambda_fre": 0.05, "lambda_fie": 0.1,
    }  # fmt: skip
    assert facts["best"]["auc"] == max(trial["auc"] for trial in facts["trials"])
    assert tune.run(_job(ran), "tiny", _search()).skipped
    more = tune.run(_job(ran), "tiny", _search(trials=5))
    assert not more.skipped
    assert more.folder == first.folder
    assert more.result.as_json()["trials"][:3] == facts["trials"], "the first trials were not run again"
    assert len(more.result.trials) == 5
    assert (more.folder / JOURNAL).exists()
    assert "validation AUC" in tune.describe(more)


def test_what_was_found_is_a_configuration(ran):
    outcome = tune.run(_job(ran), "tiny", _search())
    path = outcome.folder / BEST
    best = outcome.result.best.values
    config = load_config(path)
    assert config.train.training == {**SMALL, **{k: best[k] for k in ("learning_rate", "weight_decay")}}
    assert config.train.enhancement.lambda_fre == best["lambda_fre"]
    assert config.evaluate.backbones == ("fm",)
    assert config.evaluate.training["fm"]["weight_decay"] == best["weight_decay"]
    trained = train.run(_job(ran), "tiny", config.train)
    assert trained.result.metrics.validation.auc == pytest.approx(outcome.result.best.auc, abs=1e-9)
    assert yaml.safe_load(path.read_text())["train"]["arm"] == "paper"


def test_the_test_split_is_out_of_reach(ran, monkeypatch):
    seen = []
    trained = objective.train

    def spying(model, data, config):
        seen.append(data)
        return trained(model, data, config)

    monkeypatch.setattr(objective, "train", spying)
    tune.run(_job(ran, force=True), "tiny", _search(trials=1, seed=5))
    _, training_set = join(_job(ran), "tiny")
    whole = training_set.data
    (data,) = seen
    assert len(data.split.test) == 0
    assert len(data.label) == len(whole.split.train) + len(whole.split.validation)
    assert np.array_equal(data.ids[data.split.validation], whole.ids[whole.split.validation])
    assert np.array_equal(data.label[data.split.train], whole.label[whole.split.train])


def test_the_report_shows_the_search(ran):
    tune.run(_job(ran), "tiny", _search())
    report = Path(diagnose.run(_job(ran), "tiny", device="cpu").result.report)
    assert 'aria-label="Validation AUC by lambda_fre' in report.read_text(encoding="utf-8")


def test_searches_that_cannot_be(ran):
    with pytest.raises(
        NotReadyError, match=r"the values of 'tiny' have no vectors: run 'llactr encode --values' first"
    ):
        tune.run(_job(ran), "tiny", _search(arm="values"))
    with pytest.raises(InputError, match=r"the configuration is not valid: training: batch_size"):
        tune.run(_job(ran), "tiny", _search(training={"batch_size": 0}))


def test_settings_of_values_reach_the_value_vectors(ran):
    _, training_set = join(_job(ran), "tiny")
    dishes = tuple(training_set.transform.values("dish"))
    draw = np.random.default_rng(0).normal(size=(len(dishes), 12)).astype(np.float32)
    vectors = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    known = ValueVectors("tiny", "0" * 16, "fake", {"dish": FieldValueVectors(dishes, vectors)})
    config = _search(arm="both")
    defaults = TunedSettings.defaults(config)

    def auc(**changes: float) -> float:
        found = objective.score(config, TunedSettings.of(config, {**defaults, "learning_rate": 5e-3, **changes}),
                           training_set, known)  # fmt: skip
        return found.auc

    first = auc(tau=20.0, rank=8)
    assert auc(tau=20.0, rank=8) == first
    assert auc(tau=2.0, rank=8) != first
    assert auc(tau=20.0, rank=4) != first
    assert auc(weight_decay=1e-2, decay_factor=0.1) != auc(weight_decay=1e-2, decay_factor=1000.0)


def test_a_search_without_an_arm_has_the_searches_own_default():
    """A training configuration without an arm made the search refuse `None`."""
    assert tune.search_config(load_config(None).train, {}).arm == "paper"
    assert tune.search_config(load_config(None, train={"arm": "both"}).train, {"trials": 3}).arm == "both"
