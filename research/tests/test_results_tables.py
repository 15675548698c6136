"""The tables of research/movielens.md say what the JSON says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from research.results_tables import arms_table, picture, slices_table


def _run(auc: float, unseen: float) -> dict[str, Any]:
    return {"metrics": {"all": {"auc": auc, "logloss": 0.5, "ece": 0.02}, "unseen items": {"auc": unseen}}}


@pytest.fixture
def comparison() -> dict[str, Any]:
    difference = {"arm": "values", "baseline": "plain", "metric": "auc", "over_seeds": None}
    return {
        "backbone": "fm",
        "arms": [
            {"arm": "plain", "runs": [_run(0.70, 0.60), _run(0.72, 0.62)]},
            {"arm": "values", "runs": [_run(0.73, 0.65), _run(0.75, 0.67)]},
        ],
        "differences": [
            difference | {"slice": "all", "baseline_mean": 0.71, "arm_mean": 0.74, "mean": 0.03,
                          "over_draws": [0.01, 0.05], "over_rows": [-0.001, 0.06]},
            difference | {"slice": "unseen items", "baseline_mean": 0.61, "arm_mean": 0.66, "mean": 0.05,
                          "over_draws": [0.02, 0.08], "over_rows": [0.0, 0.1]},
            difference | {"slice": "all", "metric": "logloss", "baseline_mean": 0.5, "arm_mean": 0.5, "mean": 0.0,
                          "over_draws": [0.0, 0.0], "over_rows": [0.0, 0.0]},
        ],
    }  # fmt: skip


def test_arms_have_their_means_and_differences(comparison: dict[str, Any]) -> None:
    assert arms_table(comparison).splitlines()[2:] == [
        "| fm | plain | 0.7100 | 0.5000 | 0.0200 | | | | | |",
        "| fm | values | 0.7400 | 0.5000 | 0.0200 | plain | +0.0300 | [+0.0100, +0.0500] | – | [-0.0010, +0.0600] |",
    ]


def test_slices_that_are_there_have_a_line(comparison: dict[str, Any]) -> None:
    assert slices_table(comparison).splitlines()[2:] == [
        "| fm | all | 0.7100 | values | 0.7400 | +0.0300 | [+0.0100, +0.0500] | – | [-0.0010, +0.0600] |",
        "| fm | unseen items | 0.6100 | values | 0.6600 | +0.0500 | [+0.0200, +0.0800] | – | [+0.0000, +0.1000] |",
    ]


def test_the_picture_is_a_png(comparison: dict[str, Any], tmp_path: Path) -> None:
    picture([comparison], tmp_path / "values.png")
    assert (tmp_path / "values.png").read_bytes().startswith(b"\x89PNG")
