from __future__ import annotations

import pytest

from llactr.ctr.soundness import SoundnessFacts, doubts, doubts_of_metrics

SOUND = {"rows": 1000, "clicks": 33, "auc": 0.6, "logloss": 0.14, "constant_logloss": 0.144, "expected_clicks": 31.0}


def found(**changes: object) -> tuple[str, ...]:
    return doubts(SoundnessFacts.model_validate({**SOUND, **changes}))


def test_a_sound_model_has_no_doubts() -> None:
    assert found() == ()
    assert found(auc=None, logloss=None) == ()
    assert found(auc=0.5, logloss=0.144) == (), "chance and the constant themselves are not below"


def test_below_chance() -> None:
    assert found(auc=0.4384) == ("test AUC is 0.4384, below chance (.5): it ranks worse than drawing lots",)


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
