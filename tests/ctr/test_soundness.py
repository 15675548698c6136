from __future__ import annotations

import numpy as np
import pytest

from llactr.ctr.metrics import auc
from llactr.ctr.soundness import SoundnessFacts, doubts, doubts_of_metrics, too_good, unproven

SOUND = {"rows": 1000, "clicks": 33, "auc": 0.6, "logloss": 0.14, "constant_logloss": 0.144, "expected_clicks": 31.0}


def found(**changes: object) -> tuple[str, ...]:
    return doubts(SoundnessFacts.model_validate({**SOUND, **changes}))


def test_a_sound_model_has_no_doubts() -> None:
    assert found() == ()
    assert found(auc=None, logloss=None) == ()
    assert found(auc=0.5, logloss=0.144) == (), "chance and the constant themselves are not below"


def test_below_chance() -> None:
    assert found(auc=0.4384) == ("test AUC is 0.4384, below chance (.5): it ranks worse than drawing lots",)


def test_one_click_does_not_prove_that_a_model_is_worse_than_lots() -> None:
    """AUC .1457 with a single click was called worse than drawing lots."""
    few = "test AUC is 0.1457, below chance (.5), with 1 click: too few to say that it ranks worse than drawing lots"
    assert found(rows=200, clicks=1, auc=0.1457, expected_clicks=1.0) == (few,)
    others = found(rows=200, clicks=197, auc=0.4, expected_clicks=196.0)
    assert others[0].endswith(", with 3 rows without a click: too few to say that it ranks worse than drawing lots")
    assert found(rows=200, clicks=10, auc=0.4, expected_clicks=10.0)[0].endswith(": it ranks worse than drawing lots")


@pytest.mark.parametrize(("auc", "expected"), [(0.9899, False), (0.99, True), (1.0, True), (None, False)])
def test_an_auc_near_one_is_a_column_that_knows_the_label(auc: float | None, expected: bool) -> None:
    """A table in which a column was the label had the headline that plain is the simplest and the best."""
    given = too_good(SoundnessFacts.model_validate({**SOUND, "auc": auc}))
    assert bool(given) is expected
    assert not expected or given.startswith(f"test AUC is {auc:.4f}, better than clicks can be foretold: a column is")


def test_worse_than_a_constant_by_less_than_four_digits() -> None:
    assert found(logloss=0.144004, constant_logloss=0.144)[0].startswith(
        "test logloss is 0.144004, worse than the 0.144000"
    )


def test_worse_than_a_constant() -> None:
    assert found(logloss=0.606, constant_logloss=0.034) == (
        "test logloss is 0.6060, worse than the 0.0340 of a constant (the click rate of the training rows)",
    )


@pytest.mark.parametrize(
    ("clicks", "expected", "said"),
    [
        (33, 400.0, True),  # 367 more, three errors of 400 are 60
        (33, 5.0, True),  # 28 fewer, three errors of 33 are 17
        (33, 45.0, False),  # 1.36 times as many, but by 12: chance does that
        (10_000, 11_000.0, False),  # ten errors, but 1.1 times as many
        (0, 1.0, False),
        (0, 12.0, True),
    ],
)
def test_not_calibrated(clicks: int, expected: float, said: bool) -> None:
    given = found(clicks=clicks, expected_clicks=expected)
    assert bool(given) is said
    if said:
        assert given == (f"it expects {expected:,.0f} clicks on the test rows, there were {clicks:,}",)


def test_everything_is_said() -> None:
    assert len(found(auc=0.4, logloss=0.6, expected_clicks=300.0)) == 3


def test_what_a_bundle_says_is_read() -> None:
    assert len(doubts_of_metrics({"test": {**SOUND, "auc": 0.4, "ece": 0.1}})) == 1
    assert doubts_of_metrics({"test": SOUND}) == ()
    for earlier in ({"test": {"auc": 0.4, "logloss": 0.9, "rows": 3, "clicks": 1}}, {}, None, {"test": None}):
        assert doubts_of_metrics(earlier) == (), "a bundle of an earlier version says too little"


def said(**changes: object) -> str:
    return unproven(SoundnessFacts.model_validate({**SOUND, **changes}))


def test_few_clicks_do_not_tell_a_model_from_chance() -> None:
    """33 clicks of 6,000 logged recommendations, AUC .5978: nothing said that this is hardly more than drawing lots."""
    assert said(rows=6000, auc=0.5978) == (
        "test AUC is 0.5978, known to 0.1026 either way with 33 clicks: chance (.5) is within"
    )
    assert said(rows=6000, auc=0.62) == ""
    assert said(rows=6000, clicks=600, auc=0.55) == ""
    assert "with 20 rows without a click" in said(rows=1000, clicks=980, auc=0.55)


@pytest.mark.parametrize("changes", [{"auc": None}, {"auc": 0.49}, {"clicks": 0, "auc": 0.5}, {"clicks": 1000}])
def test_what_has_no_auc_or_is_doubted_is_not_said_twice(changes: dict[str, object]) -> None:
    assert said(**changes) == ""


def test_the_error_is_that_of_drawn_scores() -> None:
    """Scores of exponential distributions, for which Hanley and McNeil's formula is exact: AUC 1 / (1 + rate)."""
    draw = np.random.default_rng(0)
    label = np.r_[np.ones(33), np.zeros(600)].astype(np.float32)
    scores = [np.r_[draw.exponential(1.5, 33), draw.exponential(1.0, 600)].astype(np.float32) for _ in range(2000)]
    spread = np.std([auc(label, one) for one in scores])
    reach = float(said(rows=633, clicks=33, auc=0.6).split("known to ")[1].split()[0])
    assert reach / 1.96 == pytest.approx(spread, rel=0.06)
