from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import training


def test_validation_alone_chooses_the_learning_rate_and_the_epoch() -> None:
    runs = {
        0.001: {"validation_auc": [0.60, 0.66], "test_auc": [0.61, 0.65]},
        0.002: {"validation_auc": [0.65, 0.64], "test_auc": [0.70, 0.71]},  # better on test, not taken
    }
    chosen = training._chosen(runs)
    assert (chosen["learning_rate"], chosen["epoch"]) == (0.001, 2)
    assert (chosen["validation_auc"], chosen["test_auc"]) == (0.66, 0.65)


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which the machine was busy slows both: 100/10 and 40/5 are 10 and 8, whatever the medians are."""
    ours = training._rates([{"rows_per_cpu_second": [90.0, 100.0, 110.0]}, {"rows_per_cpu_second": [40.0]}])
    peer = training._rates([{"rows_per_cpu_second": [10.0]}, {"rows_per_cpu_second": [5.0]}])
    assert ours["rounds"] == [100, 40]
    found = {
        "splits": training.SPLITS,
        "rounds": 2,
        "auc_of_true_probabilities": {"many": 0.8, "few": 0.8},
        "left_out": ["deepctr"],
        "results": {"fm": {"llactr": ours, "fuxictr": peer}, "fwfm": {"llactr": ours}},
    }
    page = training.table(found)
    assert "| fm | llactr | 70 (40–100) | 9.0 (8.0–10.0) | 10 |" in page
    assert "| fwfm | llactr | 70 (40–100) |  | 10 |" in page, "without the peer there is no ratio"
    assert "could not be installed: deepctr" in page
