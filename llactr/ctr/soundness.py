"""What is wrong with a model before anyone asks whether it is better than another: said first, and in words."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["SoundnessFacts", "doubts", "doubts_of_metrics", "too_good", "unproven"]

_RATIO = 1.25
_ERRORS = 3.0
_SURE = 1.96
_HANDFUL = 10
_TOO_GOOD = 0.99


class SoundnessFacts(BaseModel):
    """A model on N test rows.

    Attributes:
        rows, clicks: N, and how many were clicked.
        auc: None where all rows have the same label.
        logloss: of the model.
        constant_logloss: of the training rows' click rate, said of every row.
        expected_clicks: the sum of the scores.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    rows: int
    clicks: int
    auc: float | None
    logloss: float | None
    constant_logloss: float
    expected_clicks: float


def doubts(facts: SoundnessFacts) -> tuple[str, ...]:
    """What speaks against serving a model, in sentences without subject and full stop; empty where nothing does.

    - It ranks below chance: AUC below .5.
    - It says less than a constant would: its logloss is above that of the training rows' click rate.
    - It is not calibrated: it expects over 1.25 times as many clicks as there were, or less than 1/1.25, and by more
      than three standard errors of a count.
    """
    found = []
    if facts.auc is not None and facts.auc < 0.5:
        found.append(f"test AUC is {facts.auc:.4f}, below chance (.5){_worse_than_lots(facts)}")
    if facts.logloss is not None and round(facts.logloss, 6) > round(facts.constant_logloss, 6):
        ours, constant = (f"{value:.4f}" for value in (facts.logloss, facts.constant_logloss))
        if ours == constant:
            ours, constant = (f"{value:.6f}" for value in (facts.logloss, facts.constant_logloss))
        found.append(
            f"test logloss is {ours}, worse than the {constant} of a constant (the click rate of the training rows)"
        )
    more, less = max(facts.expected_clicks, facts.clicks), min(facts.expected_clicks, facts.clicks)
    if more > _RATIO * less and more - less > _ERRORS * math.sqrt(more):
        found.append(f"it expects {facts.expected_clicks:,.0f} clicks on the test rows, there were {facts.clicks:,}")
    return tuple(found)


def _worse_than_lots(facts: SoundnessFacts) -> str:
    """What an AUC below chance means; with a handful of clicks it means little."""
    clicks, others = facts.clicks, facts.rows - facts.clicks
    if min(clicks, others) >= _HANDFUL:
        return ": it ranks worse than drawing lots"
    return f", with {_few(clicks, others)}: too few to say that it ranks worse than drawing lots"


def _few(clicks: int, others: int) -> str:
    """The rarer of both, in words."""
    fewest, what = (clicks, "click{}") if clicks <= others else (others, "row{} without a click")
    return f"{fewest:,} {what.format('s' * (fewest != 1))}"


def unproven(facts: SoundnessFacts) -> str:
    """That few clicks cannot tell a model from chance, without subject and full stop; empty where they can.

    The standard error of an AUC is that of Hanley and McNeil (1982), for independent rows; it needs no scores, so a
    bundle's figures suffice. A model below chance is doubted instead.
    """
    clicks, others, auc = facts.clicks, facts.rows - facts.clicks, facts.auc
    if auc is None or auc < 0.5 or min(clicks, others) < 1:
        return ""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (clicks - 1) * (one - auc**2) + (others - 1) * (two - auc**2)
    reach = _SURE * math.sqrt(variance / (clicks * others))
    if auc - reach > 0.5:
        return ""
    few = _few(clicks, others)
    return f"test AUC is {auc:.4f}, known to {reach:.4f} either way with {few}: chance (.5) is within"


def too_good(facts: SoundnessFacts) -> str:
    """That an AUC is so high that a column is likely to know the label, without subject and full stop; else empty."""
    if facts.auc is None or facts.auc < _TOO_GOOD:
        return ""
    return (
        f"test AUC is {facts.auc:.4f}, better than clicks can be foretold: a column is likely to know the label, "
        "or to be written after it ('llactr init --check SPEC' looks for one)"
    )


def doubts_of_metrics(metrics: object) -> tuple[str, ...]:
    """Those of what a bundle says of its test split; a bundle of an earlier version that says too little has none."""
    test = metrics.get("test") if isinstance(metrics, dict) else None
    try:
        return doubts(SoundnessFacts.model_validate(test))
    except ValidationError:
        return ()
