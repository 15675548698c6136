from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from llactr.ctr.config import EnhancementConfig, ValuesConfig
from llactr.ctr.search.space import DIMENSIONS, SearchConfig, TunedSettings, dimensions
from llactr.ctr.search.study import JOURNAL, Study, TrialScore
from llactr.errors import StepError

PLAIN = SearchConfig(backbone="fm", arm="plain")
FIRST = {"learning_rate": 1e-3, "weight_decay": 1e-8}


def bowl(values: Mapping[str, float]) -> TrialScore:
    """Highest, 0.8, where the learning rate is 2e-3 and the decay 1e-5."""
    away = math.log10(values["learning_rate"] / 2e-3) ** 2 + 0.1 * math.log10(values["weight_decay"] / 1e-5) ** 2
    return TrialScore(auc=0.8 - 0.05 * away, logloss=0.5 + away, seconds=1.0)


@pytest.mark.parametrize(
    ("arm", "names"),
    [
        ("plain", ["learning_rate", "weight_decay"]),
        ("paper", ["learning_rate", "weight_decay", "lambda_fre", "lambda_fie"]),
        ("values", ["learning_rate", "weight_decay", "tau", "rank", "decay_factor"]),
        ("both", ["learning_rate", "weight_decay", "lambda_fre", "lambda_fie", "tau", "rank", "decay_factor"]),
    ],
)
def test_an_arm_has_the_dimensions_that_do_something(arm: str, names: list[str]) -> None:
    assert [found.name for found in dimensions(SearchConfig(arm=arm))] == names  # type: ignore[arg-type]
    without = SearchConfig(arm=arm, enhancement=EnhancementConfig(fre=False))  # type: ignore[arg-type]
    assert "lambda_fre" not in [found.name for found in dimensions(without)]


def test_the_first_trial_has_the_defaults_within_the_bounds() -> None:
    config = SearchConfig(backbone="fm", arm="both", training={"learning_rate": 0.5})
    assert TunedSettings.defaults(config) == {
        "learning_rate": 5e-3,  # 0.5 lies beyond the upper bound
        "weight_decay": 1e-8,  # as good as the default, 0
        "lambda_fre": 0.05,
        "lambda_fie": 0.1,
        "tau": 20.0,
        "rank": 24,
        "decay_factor": 10.0,
    }


def test_a_trials_values_go_where_training_looks_for_them() -> None:
    config = SearchConfig(arm="both", training={"batch_size": 512})
    found = TunedSettings.of(
        config, {"learning_rate": 2e-3, "lambda_fie": 0.3, "tau": 5.0, "rank": 8, "decay_factor": 2.0}
    )
    assert found.training == {"batch_size": 512, "learning_rate": 2e-3}
    assert found.enhancement == EnhancementConfig(lambda_fie=0.3)
    assert found.values == ValuesConfig(tau=5.0, rank=8, decay_factor=2.0)
    plain = TunedSettings.of(PLAIN, {"weight_decay": 1e-4})
    assert (plain.enhancement, plain.values) == (None, None)


def test_it_finds_the_top_of_a_bowl(tmp_path: Path) -> None:
    study = Study(tmp_path, dimensions(PLAIN), seed=0)
    study.run(bowl, trials=25, first=FIRST)
    assert study.trials[0].values == FIRST
    assert study.best is not None
    assert study.best.score is not None
    assert study.best.score.auc > 0.795 > bowl(FIRST).auc
    for trial in study.trials:
        for name, value in trial.values.items():
            assert DIMENSIONS[name].low <= value <= DIMENSIONS[name].high


def test_stopping_in_between_changes_nothing(tmp_path: Path) -> None:
    whole = Study(tmp_path / "whole", dimensions(PLAIN), seed=3)
    whole.run(bowl, trials=12, first=FIRST)
    for count in (5, 5, 9, 12):
        parted = Study(tmp_path / "parted", dimensions(PLAIN), seed=3)
        parted.run(bowl, trials=count, first=FIRST)
        assert len(parted.trials) == count
    assert parted.trials == whole.trials
    other = Study(tmp_path / "other", dimensions(PLAIN), seed=4)
    other.run(bowl, trials=3, first=FIRST)
    assert other.trials[0] == whole.trials[0]
    assert other.trials[1] != whole.trials[1]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.ctr.search.test_study import FIRST, PLAIN, bowl
from llactr.ctr.search.space import dimensions
from llactr.ctr.search.study import Study
done = 0
def objective(values):
    global done
    if done == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1
    return bowl(values)
Study(Path({folder!r}), dimensions(PLAIN), seed=3).run(objective, trials=12, first=FIRST)
"""


def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    script = KILLED.format(folder=str(tmp_path / "killed"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    (tmp_path / "killed" / f"{JOURNAL}.lock").touch()
    with (tmp_path / "killed" / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 6, "wor')  # as if the kill had come while a line was written
    study = Study(tmp_path / "killed", dimensions(PLAIN), seed=3)
    assert len(study.trials) == 7
    study.run(bowl, trials=12, first=FIRST)
    whole = Study(tmp_path / "whole", dimensions(PLAIN), seed=3)
    whole.run(bowl, trials=12, first=FIRST)
    assert study.trials == whole.trials


def test_a_trial_that_diverges_is_noted_and_not_chosen(tmp_path: Path) -> None:
    def diverging(values: Mapping[str, float]) -> TrialScore:
        if values == FIRST or values["learning_rate"] > 2e-3:
            raise StepError("the loss is nan")
        return bowl(values)

    study = Study(tmp_path, dimensions(PLAIN), seed=0)
    study.run(diverging, trials=10, first=FIRST)
    assert len(study.trials) == 10
    assert study.trials[0].score is None
    assert study.trials[0].as_json()["auc"] is None
    assert study.best is not None
    assert study.best.values["learning_rate"] <= 2e-3


def test_the_journal_is_json_lines(tmp_path: Path) -> None:
    Study(tmp_path, dimensions(PLAIN), seed=0).run(bowl, trials=2, first=FIRST)
    lines = (tmp_path / JOURNAL).read_text(encoding="utf-8").splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOURNAL]
