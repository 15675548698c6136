"""Does a treatment help, and does that depend on meaning? The answer in words, from the differences alone.

A difference counts as above (or below) zero when every interval that it has lies there: over draws, over seeds, over
rows (whole users, where there are users). One training run an arm has none over runs, and decides nothing. A difference
below the margin is never a help or a harm; that there is none is said where two one-sided tests rule out one of the
margin; where neither is so, the test was too small, and it says for what.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from llactr.evaluation.arms import Arm
from llactr.evaluation.evidence import Difference, Interval
from llactr.evaluation.resampling import FEWEST_CARRIERS, Drawn

__all__ = ["MARGIN", "RULES", "Judgement", "Verdict", "in_words", "judge", "signed", "span"]


MARGIN = 0.001
"""The smallest difference of AUC that matters where nobody says another."""
RULES = "part of it; ten who click and who do not; within users as of one moment"
"""Names the rules among those of other versions, so that what was judged by others is judged anew."""


class Verdict(StrEnum):
    """What the figures say; the headline of a report."""

    MEANING = "helps and depends on meaning"
    PART = "helps, and part of it depends on meaning"
    WORDS = "helps, and a bag of the same words does as well"
    PLACEBO = "helps but a placebo does as well"
    UNTESTED = "helps, and no placebo was run"
    PAST = "helps, by what happened before"
    NO_DIFFERENCE = "no difference"
    SMALL = "too small to matter"
    TOO_FEW_CLICKS = "too few clicks to tell"
    TOO_FEW_RUNS = "too few runs to tell"
    HURTS = "hurts"
    UNDECIDED = "one seed cannot tell"


class Judgement(BaseModel):
    """A treatment's verdict, and its reason in one sentence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: Arm
    baseline: Arm
    verdict: Verdict
    sentence: str


def judge(
    backbone: str,
    gain: Difference,
    loss: Difference | None,
    against: Sequence[Difference],
    *,
    users: Difference | None = None,
    moment: Difference | None = None,
    margin: float = MARGIN,
) -> Judgement:
    """Judges a treatment by its test AUC.

    Args:
        backbone: its name, for the sentence.
        gain: of the treatment over plain, AUC.
        loss: the same in logloss, which the sentence tells when it moves where AUC does not.
        against: the treatment minus each of its placebos, AUC.
        users: of the treatment over plain, AUC within users; told of an arm that reads the past, as a person's level
            lifts AUC and ranks nothing.
        moment: the same as of one moment, without that level.
        margin: the smallest difference of AUC that matters.
    """
    verdict, reason = _verdict(gain, against, margin)
    said = in_words(gain) + (_over_rows(gain) if gain.above_zero or gain.below_zero else "")
    sentence = f"With {gain.arm} instead of {gain.baseline}, {backbone}'s test AUC changes by {said}{reason}"
    if verdict is not Verdict.UNDECIDED:
        sentence += _users_note(gain, users, moment) + _logloss_note(gain, loss)
    return Judgement(arm=gain.arm, baseline=gain.baseline, verdict=verdict, sentence=sentence)


def _verdict(gain: Difference, against: Sequence[Difference], margin: float) -> tuple[Verdict, str]:
    if gain.over_runs is None:
        return Verdict.UNDECIDED, "; without an interval it may be chance, so run at least 3 seeds."
    if gain.scarce is not None:
        return Verdict.TOO_FEW_CLICKS, _scarce(gain.scarce, gain.drawn)
    if gain.behind(margin):
        return Verdict.HURTS, f": {_whole(gain)} below zero."
    if not gain.ahead(margin):
        return _undecided(gain, margin)
    if not gain.arm.has_meaning:
        return Verdict.PAST, "; it reads no vectors, so there is no meaning that it could depend on."
    if not against:
        return Verdict.UNTESTED, "; whether meaning is the cause is open, because no placebo was run."
    tied = [found for found in against if not found.ahead(margin)]
    if not tied:
        said, least = (
            f"; it is ahead of {' and '.join(map(_placebo, against))} as well",
            min(one.mean for one in against),
        )
        if least < gain.mean / 2:
            return Verdict.PART, f"{said}, but the nearest of these has all but {least:+.4f} of the gain."
        return Verdict.MEANING, f"{said}."
    rest = f"; it is not ahead of {' or '.join(_tied(found, margin) for found in tied)}."
    only_words = all(found.baseline.placebo and found.baseline.placebo.reads_texts for found in tied)
    return (Verdict.WORDS if only_words and len(against) > len(tied) else Verdict.PLACEBO), rest


def _undecided(gain: Difference, margin: float) -> tuple[Verdict, str]:
    """What is said of a difference that is neither a help nor a harm."""
    said = f"{_whole(gain)} {'above' if gain.above_zero else 'below'} zero"
    said = said if gain.above_zero or gain.below_zero else _holding_zero(gain)
    if gain.equivalent(margin):
        return Verdict.NO_DIFFERENCE, f": {said}, and a difference of {margin:g} either way is ruled out."
    if gain.above_zero or gain.below_zero:
        return Verdict.SMALL, f": {said}, but its mean is less than the {margin:g} that matters."
    seen = f"; {_seen(gain)}, {margin:g} matters."
    if gain.rows_within(margin):
        return Verdict.TOO_FEW_RUNS, f": {said}{seen}"
    return Verdict.TOO_FEW_CLICKS, f": {said}{seen}"


def _seen(gain: Difference) -> str:
    """The smallest difference that the test would have shown; none, where AUC has no room for one that large."""
    room = max(gain.baseline_mean, 1 - gain.baseline_mean)
    more, least = gain.detectable_by_rows, gain.detectable or 0
    runs = f", with many more runs {more:.4f}" if more is not None and more < min(least, room) else ""
    if least >= room:
        return f"this test would have shown no difference that AUC has room for{runs}"
    return f"this test would have shown a difference of {least:.4f}{runs}"


def _scarce(units: int, drawn: Drawn) -> str:
    where = f"of {units} of the test users" if drawn == "users" else f"{units} of the test rows"
    return (
        f"; the clicks, or the rows without one, are {where} alone: with fewer than {FEWEST_CARRIERS} no interval over "
        f"{drawn} can be trusted."
    )


def _placebo(found: Difference) -> str:
    placebo = found.baseline.placebo
    return f"{placebo.phrase if placebo else found.baseline} ({_short(found)})"


def _tied(found: Difference, margin: float) -> str:
    """A placebo that does as well, and why that is said where the interval shown lies above zero."""
    placebo = found.baseline.placebo
    said = _short(found)
    if found.widest is not None and found.widest[0] > 0:
        said += f", less than {margin:g}" if found.above_zero else f", but {_holding_zero(found)}"
    return f"{placebo.phrase if placebo else found.baseline} ({said})"


def _whole(found: Difference) -> str:
    return "the whole interval lies" if len(found.intervals) == 1 else "all intervals lie"


def _holding_zero(found: Difference) -> str:
    """Which intervals hold zero, or that they contradict each other."""
    named = (
        ("over draws", found.over_draws), ("over seeds", found.over_seeds), (f"over {found.drawn}", found.over_rows),
    )  # fmt: skip
    holding = [(name, ends) for name, ends in named if ends is not None and ends[0] <= 0 <= ends[1]]
    if not holding:
        return "its intervals lie on both sides of zero"
    if holding[0][1] == found.over_runs:
        return "the interval holds zero"
    return " and ".join(f"the interval {name} {span(ends)} holds zero" for name, ends in holding)


def in_words(found: Difference) -> str:
    """A difference as `+0.0012 [+0.0004, +0.0020] over 3 seeds`, or `over 5 draws x 3 seeds`."""
    if found.over_runs is None:
        return f"{signed(found.mean)} with one seed"
    short = f"{signed(found.mean)} {span(found.over_runs)}"
    seeds = f"{len(found.by_seed)} seed{'s' * (len(found.by_seed) > 1)}"
    draws = f"{len(found.by_draw)} draws x {seeds}"
    return f"{short} over {seeds if found.over_draws is None else draws}"


def span(ends: Interval) -> str:
    """`[−0.0004, +0.0020]`, without a break."""
    return f"[{signed(ends[0])},\u00a0{signed(ends[1])}]"


def signed(value: float) -> str:
    """A difference with its sign and four digits, `−` for minus, and no sign on what rounds to zero."""
    text = f"{value:+.4f}".replace("-", "−")
    return "0.0000" if text[1:] == "0.0000" else text


def _over_rows(found: Difference) -> str:
    """The bootstrap's interval, where it is the wider one: that of the runs alone would look too sure."""
    rows = found.over_rows
    return f", {span(rows)} over {found.drawn}" if rows is not None and found.widest == rows else ""


def _short(found: Difference) -> str:
    """With the widest of its intervals."""
    return signed(found.mean) + (f" {span(found.widest)}" if found.widest else "")


def _users_note(gain: Difference, users: Difference | None, moment: Difference | None) -> str:
    """What an arm that reads the past changes for the order within users, which is what a user sees."""
    if gain.arm.history is None or users is None:
        return ""
    said = f" AUC within users changes by {_of_users(users)}"
    if moment is None or gain.arm.history.past != "history":
        return f"{said}."
    return (
        f"{said}; without the person's own level, which is one for all candidates of a moment, by {_of_users(moment)}."
    )


def _of_users(found: Difference) -> str:
    rows = found.over_rows
    if rows is None:
        return f"{signed(found.mean)}, of too few users to say how surely"
    held = ", which holds zero" if rows[0] <= 0 <= rows[1] else ""
    return f"{signed(found.mean)} {span(rows)} over {found.drawn}{held}"


def _logloss_note(gain: Difference, loss: Difference | None) -> str:
    """Says so when logloss (lower is better) moves against, or with, an AUC that does not tell."""
    if gain.scarce is not None:
        return ""
    if loss is not None and loss.above_zero and not gain.below_zero:
        return f" Logloss gets worse: {in_words(loss)}."
    if loss is not None and loss.below_zero and not gain.above_zero:
        return f" Logloss gets better: {in_words(loss)}."
    return ""
