"""Gates, figure by figure; then days of a small dataset."""

from __future__ import annotations

import pytest

from llactr.lifecycle.gates import Figures, Gates, decide

CONSTANT = Figures(model="constant", auc=0.5, logloss=0.69, calibration=0.0)
CHAMPION = Figures(model="old", auc=0.70, logloss=0.60, calibration=0.01)


def challenger(**changes: float | None) -> Figures:
    return Figures.model_validate({"model": "new", "auc": 0.71, "logloss": 0.59, "calibration": -0.01} | changes)


@pytest.mark.parametrize(
    ("changes", "positives", "failed"),
    [
        ({}, 200, set()),
        ({"auc": 0.6995}, 200, set()),  # as good, but for chance
        ({"auc": 0.6985}, 200, {"AUC against the champion"}),
        ({"auc": None}, 200, {"AUC against the champion"}),
        ({"logloss": 0.6015}, 200, set()),
        ({"logloss": 0.6025}, 200, {"logloss against the champion"}),
        ({"logloss": 0.7}, 200, {"logloss against the champion", "logloss against a constant"}),
        ({"calibration": -0.021}, 200, {"calibration"}),
        ({}, 199, {"positives"}),
    ],
)
def test_gates(changes: dict[str, float | None], positives: int, failed: set[str]) -> None:
    trial = decide(challenger(**changes), CHAMPION, CONSTANT, rows=1000, positives=positives, gates=Gates())
    assert {gate.name for gate in trial.gates if not gate.passed} == failed
    assert trial.passed == (not failed)


def test_without_a_champion_a_constant_is_what_has_to_be_beaten() -> None:
    trial = decide(challenger(), None, CONSTANT, rows=1000, positives=500, gates=Gates())
    assert [gate.name for gate in trial.gates] == [
        "doubts about serving it",
        "positives",
        "logloss against a constant",
        "calibration",
    ]
    assert trial.passed
    doubted = decide(challenger(), None, CONSTANT, rows=9, positives=500, gates=Gates(), doubts=("it is below chance",))
    assert not doubted.passed
    assert not decide(challenger(logloss=0.7), None, CONSTANT, rows=9, positives=500, gates=Gates()).passed
