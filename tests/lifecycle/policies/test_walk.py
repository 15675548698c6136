"""Policies over time: equal to a loop by hand, and the same after a walk was killed at any point."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from llactr.ctr.metrics import auc, logloss
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.config import WarmConfig
from llactr.diagnostics.policies import period_table, render_policies, write_policies
from llactr.errors import InputError
from llactr.evaluation.prequential import POLICIES, PrequentialResult
from llactr.jobs import encode, ingest, materialize
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.gates import Gates
from llactr.lifecycle.policies import walk as walking
from llactr.lifecycle.policies.config import WalkConfig
from llactr.lifecycle.policies.models import WalkedRows
from llactr.lifecycle.policies.periods import periods_of
from llactr.lifecycle.policies.step import walk_dataset
from llactr.lifecycle.policies.walk import walk
from llactr.semantics import SemanticsConfig
from llactr.steps import Job
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import write_dataset

TRAINING = {"max_epochs": 2, "min_steps": 0, "batch_size": 128, "learning_rate": 0.02, "few_clicks": 0}
MODEL = TrainJobConfig(backbone="fm", arm="history", training=TRAINING)
CONFIG = WalkConfig(
    every=172_800, first=0.7, train=MODEL, warm=WarmConfig(epochs=1), promote=Gates(auc=0.0, min_positives=1)
)


class KilledError(Exception):
    """A process that ends here."""


def quiet(_done: int, _total: int, _note: str) -> None:
    """Shows nothing."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("walk")
    spec = write_dataset(folder)
    made = Job(Workspace.at(folder / "workspace"), Terminal(as_json=True))
    ingest.run(made, str(spec), data_folder=None)
    encode.run(made, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    materialize.apply(made)
    return made


@pytest.fixture(scope="module")
def rows(job: Job) -> WalkedRows:
    return WalkedRows.of(job, dataset_spec(job.workspace, "tiny"), MODEL)


@pytest.fixture(scope="module")
def walked(rows: WalkedRows, tmp_path_factory: pytest.TempPathFactory) -> tuple[PrequentialResult, Path]:
    folder = tmp_path_factory.mktemp("walked")
    return walk(rows, CONFIG, folder, quiet), folder


def without_times(found: PrequentialResult) -> dict[str, Any]:
    content = found.as_json()
    for one in [content, *content["policies"], *(p for q in content["policies"] for p in q["periods"])]:
        for name in ("cpu_seconds", "first_cpu_seconds"):
            one.pop(name, None)
    return content


def test_periods_are_cut_from_the_first_row_on() -> None:
    times = np.array([0, 1, 2, 3, 10, 11, 25, 26, 41], np.int64)
    # Of length 10: rows 0-3, 4-5, 6-7, none, 8. Half of nine rows are five: the period of row 4 begins too early.
    found = periods_of(times, every_us=10, first=0.5)
    assert [tuple(one) for one in found] == [(0, 20, 6, 8), (1, 40, 8, 9)]
    assert [one.start for one in periods_of(times, every_us=10, first=0.4)] == [4, 6, 8]
    with pytest.raises(InputError, match=r"leave no period of .* behind the first 90%: give a shorter --every"):
        periods_of(times, every_us=40, first=0.9)


def test_scores_are_those_of_a_loop_by_hand(
    rows: WalkedRows, walked: tuple[PrequentialResult, Path], tmp_path: Path
) -> None:
    found, _ = walked
    # The moments, by the data alone: 2 days from the first event on, behind the first 70 % of the rows.
    times, label = rows.times, rows.label
    starts = [int(np.count_nonzero(times < times[0] + n * 172_800_000_000)) for n in range(20)]
    cuts = [*(one for one in dict.fromkeys(starts) if 0.7 * len(times) <= one < len(times)), len(times)]
    assert len(cuts) > 2
    rows.train_anew(tmp_path / "first", cuts[0])
    live: dict[str, Path] = dict.fromkeys(POLICIES, tmp_path / "first")
    scores: dict[str, list[NDArray[np.float32]]] = {name: [] for name in POLICIES}
    rejected = 0
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        if number:
            rows.train_anew(tmp_path / f"cold{number}", start)
            live["cold"] = tmp_path / f"cold{number}"
            for name in ("warm", "gated"):
                made = tmp_path / f"{name}{number}"
                assert rows.train_on(made, start, live[name], CONFIG.warm)
                end, test = int(0.9 * start + 1e-6), label[int(0.9 * start + 1e-6) : start]
                known = [rows.scores(folder, range(end, start)) for folder in (made, live[name])]
                rate = float(label[: int(0.8 * start + 1e-6)].mean())
                passed = (
                    auc(test, known[0]) >= auc(test, known[1])
                    and logloss(test, known[0]) <= logloss(test, known[1]) + 0.002
                    and logloss(test, known[0]) <= logloss(test, np.full(len(test), rate, np.float32))
                    and abs(float(known[0].mean()) - float(test.mean())) <= 0.02
                )
                rejected += name == "gated" and not passed
                if name == "warm" or passed:
                    live[name] = made
        for name, folder in live.items():
            scores[name].append(rows.scores(folder, range(start, stop)))
    for one in found.policies:
        mine = np.concatenate(scores[one.policy])
        assert one.auc == pytest.approx(auc(label[cuts[0] :], mine), abs=1e-9), one.policy
        assert one.logloss == pytest.approx(logloss(label[cuts[0] :], mine), abs=1e-9), one.policy
        assert [period.rows for period in one.periods] == np.diff(cuts).tolist()
    gated, never = found.of("gated"), found.of("never")
    assert gated is not None
    assert never is not None
    assert sum("not passed" in period.note for period in gated.periods) == rejected
    assert {period.live for period in never.periods} == {0}
    constants = [label[:start].mean() for start in cuts[:-1]]
    constant = np.repeat(np.array(constants, np.float32), np.diff(cuts))
    assert found.constant_logloss == pytest.approx(logloss(label[cuts[0] :], constant), abs=1e-9)


@pytest.mark.parametrize("at", [1, 4, 9, 14])
def test_killed_anywhere_it_ends_the_same(
    rows: WalkedRows,
    walked: tuple[PrequentialResult, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    """The process ends when a period's folder is about to take its place, or before its figures are written."""
    calls = []

    def ending(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == at:
                raise KilledError
            return real(*arguments, **named)

        return call

    monkeypatch.setattr(walking, "save_file", ending(walking.save_file))
    monkeypatch.setattr(WalkedRows, "scores", ending(WalkedRows.scores))
    with pytest.raises(KilledError):
        walk(rows, CONFIG, tmp_path, quiet)
    monkeypatch.undo()
    half = set(tmp_path.rglob("figures.json"))
    kept = {path: path.read_bytes() for path in half}
    found = walk(rows, CONFIG, tmp_path, quiet)
    assert without_times(found) == without_times(walked[0])
    assert {path: path.read_bytes() for path in half} == kept, "what was done was not done again"
    assert all(path.is_relative_to(tmp_path) for path in half)


def test_only_live_models_are_kept(walked: tuple[PrequentialResult, Path]) -> None:
    found, folder = walked
    for one in found.policies:
        there = {int(path.parent.name) for path in (folder / one.policy).glob("*/model")}
        assert there == {one.periods[-1].live} - {0}


def test_the_step_is_kept_and_says_what_it_found(job: Job, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"policies": ("never", "warm"), "first": 0.8})
    made = walk_dataset(job, "tiny", config)
    assert not (job.workspace.root / "replays" / "running" / made.folder.name).exists()
    again = walk_dataset(job, "tiny", config)
    assert (made.skipped, again.skipped, again.result) == (False, True, made.result)
    assert write_policies(made.result, tmp_path) == tmp_path / "report.html"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page == render_policies(made.result)
    assert "never retrained" in page
    assert "gone on from every time" in page
    assert "with gates" not in page
    assert "<script" not in page
    assert page.count("<svg") == 3
    period_table(made.result, tmp_path / "periods.parquet")
    table = pq.read_table(tmp_path / "periods.parquet")
    assert table["policy"].to_pylist() == ["never"] * (len(table) // 2) + ["warm"] * (len(table) // 2)
    assert table["auc"].to_pylist()[0] == made.result.policies[0].periods[0].auc
    assert json.loads(made.result.model_dump_json())["rows"] == made.result.rows
    shutil.rmtree(tmp_path)
