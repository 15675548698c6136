from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from llactr.evaluation.arms import Arm
from llactr.evaluation.comparison import Baseline, compare
from llactr.evaluation.evidence import Run
from llactr.evaluation.result import EvaluationResult, TestReading
from llactr.evaluation.rivals.table import rival_table
from llactr.evaluation.tables import as_tables
from tests.evaluation.test_runs import kept


def result() -> EvaluationResult:
    runs = []
    for name, gain in (("plain", 0.0), ("paper", 0.01), ("paper permuted", 0.002)):
        for seed in range(2):
            auc = 0.7 + seed / 100 + gain
            metrics = {
                "all": {"auc": auc, "logloss": 0.5 - gain, "ece": 0.02},
                "warm": {"auc": auc + 0.1, "logloss": 0.4, "ece": 0.01},
            }
            runs.append(Run(Arm.parse(name), 0, seed, metrics))
    reading = TestReading(
        design="chronological", draws=1, seeds=2, rows=1234, slice_rows={"all": (1234,)}, models_before=6,
        read_at="2026-11-23T21:29:10+00:00", earlier_readings=("2026-11-22T10:00:00+00:00",),
    )  # fmt: skip
    return EvaluationResult.of(reading, [compare("fm", runs)], [kept("paper")])


def test_an_evaluation_in_words() -> None:
    # Both seeds gain the same, so the interval has no width.
    assert as_tables(result()).splitlines() == [
        "chronological, 2 seeds: 1,234 test rows, read once at 2026-11-23T21:29:10+00:00 after 6 models were trained; "
        "this workspace's earlier evaluations: 1.",
        "",
        "fm                             AUC  logloss     ECE   AUC against plain 95 %, over seeds     over rows",
        "  plain                     0.7050   0.5000  0.0200",
        "  paper                     0.7150   0.4900  0.0200   +0.0100           [+0.0100, +0.0100]   -",
        "  paper permuted            0.7070   0.4980  0.0200   +0.0020           [+0.0020, +0.0020]   -",
        "  helps and depends on meaning. With paper instead of plain, fm's test AUC changes by +0.0100 "
        "[+0.0100,\u00a0+0.0100] over 2 seeds; it is ahead of permuted vectors (+0.0080 [+0.0080,\u00a0+0.0080]) as well.",
        "",
        "backbone and arm              slice                  plain      arm       AUC  95 %, over seeds     over rows",
        "fm paper                      all                   0.7050   0.7150   +0.0100  [+0.0100, +0.0100]   -",
        "fm paper                      warm                  0.8050   0.8150   +0.0100  [+0.0100, +0.0100]   -",
    ]


def test_rivals_stand_beside_ours_with_what_they_cost() -> None:
    runs = [
        Run(Arm.parse(name), 0, 0, {"all": {"auc": auc, "logloss": 0.5, "ece": 0.02}}, {}, seconds, rate)
        for name, auc, seconds, rate in (
            ("plain", 0.7, 3.25, 100_000.0), ("paper", 0.71, 4.0, 90_000.0), ("paper random", 0.7, 4.0, 90_000.0),
            ("lightgbm", 0.72, 12.5, None),
        )
    ]  # fmt: skip
    popular = Baseline(name="popularity", metrics={"all": {"auc": 0.69, "logloss": 0.55}})
    comparisons = (compare("fm", runs, baselines=[popular]), compare("deepfm", runs, baselines=[popular]))
    assert rival_table(comparisons).splitlines() == [
        "rivals, test rows                  AUC  logloss     train     rows/s",
        "  fm plain                      0.7000   0.5000     3.2 s    100,000",
        "  fm paper                      0.7100   0.5000     4.0 s     90,000",
        "  deepfm plain                  0.7000   0.5000     3.2 s    100,000",
        "  deepfm paper                  0.7100   0.5000     4.0 s     90,000",
        "  lightgbm                      0.7200   0.5000    12.5 s          -",
        "  popularity                    0.6900   0.5500         -          -",
    ]
    behind = comparisons[0].difference("paper", "lightgbm")
    assert behind is not None
    assert behind.mean == pytest.approx(-0.01)
    assert [str(said.arm) for said in comparisons[0].judgements] == ["paper"], "a rival is not judged by its meaning"
    assert rival_table((compare("fm", runs[:3]),)) == ""


def test_slices_can_be_left_out() -> None:
    assert as_tables(result(), slices=False) == as_tables(result()).split("\n\nbackbone and arm")[0]


def test_a_result_survives_json() -> None:
    content = result().model_dump(mode="json")
    assert EvaluationResult.model_validate(content) == result()
    assert [arm["arm"] for arm in content["comparisons"][0]["arms"]] == ["plain", "paper", "paper permuted"]
    assert list(content["validation"][0]) == [
        "backbone", "arm", "draw", "seed", "auc", "logloss", "steps", "best_step", "cpu_seconds",
    ]  # fmt: skip
    assert content["curves"][0]["validation_auc"] == [0.7, 0.8, 0.75]


def test_a_result_with_arms_that_are_no_more_is_not_read() -> None:
    """Earlier versions had arms of cold starts; a report of theirs says that nothing was evaluated yet."""
    content = result().model_dump(mode="json")
    content["comparisons"][0]["arms"][0]["arm"] = "plain cold"
    with pytest.raises(ValidationError, match="plain cold"):
        EvaluationResult.model_validate(content)  # a step whose result is of another shape counts as not made


def test_where_nothing_can_be_drawn_that_is_said() -> None:
    given = result()
    reading = given.test_reading.model_copy(update={"splits": {"test": (200, 1)}, "users": 40})
    said = "Here there are none: too few have a click, or a row without one."
    few = [
        replace(Run(Arm.parse(name), 0, seed, {"all": {"auc": 0.7}}), scarce=1)
        for name in ("plain", "paper")
        for seed in (0, 1)
    ]
    assert said in as_tables(EvaluationResult.of(reading, [compare("fm", few)], [])).splitlines()
    assert said not in as_tables(given.model_copy(update={"test_reading": reading}))
