"""Which arm is served: chosen on validation rows alone, by one rule that is printed.

Of the arms that are not behind the simplest within users by more than one standard error, the simplest that is within
one of the best of them in the mean of AUC over all rows and AUC within users: the share of pairs in the right order, if
half of the pairs are of one user. Where too few users have clicks and non-clicks to rank, AUC alone. So nobody's order
gets worse for a level that ranks nothing within a person, an arm far behind in AUC has to be as far ahead within users,
and one arm always passes. The error is that of the difference between two arms: over users (rows, where there are no
users) by a bootstrap, and over seeds. A difference below the margin counts as none. After Breiman et al. 1984, section
3.4.3, with the error of the paired difference in the place of the best arm's own, which would hide what the same rows
show.

Legend: N rows, W resamples, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.ctr.metrics import auc, logloss
from llactr.errors import DataError
from llactr.evaluation.arms import Arm
from llactr.evaluation.ranking import pair_auc
from llactr.evaluation.resampling import Resamples
from llactr.evaluation.slices import weighted_auc
from llactr.steps import StepResult

__all__ = ["RULE", "CandidateFigures", "Choice", "choose"]

RULE = "mean of both"
"""Names the rule among those of other versions, so that a choice by another is made anew."""
_RESAMPLES = 400
_FEWEST_RANKED_USERS = 30
"""With fewer users who have clicks and non-clicks, AUC within users decides nothing."""
_CHANCE = 0.5


class CandidateFigures(BaseModel):
    """An arm on the validation rows, means over seeds.

    `behind` and `error` are by measure: how far it is behind, and the standard error of that. `auc` and `user_auc` are
    behind the best arm in each, `mean` (of these two) is behind the best arm that may be served, and below 0 for one
    that may not and has a better mean; `simplest` is behind the simplest arm within users. Without users there is `auc`
    alone. `within` lists those in which it is within one error, or the margin.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: Arm
    auc: float
    user_auc: float | None
    logloss: float
    behind: dict[str, float]
    error: dict[str, float]
    within: tuple[str, ...]


class Choice(StepResult):
    """The arm that is served, and why.

    Attributes:
        backbone: whose arms were compared.
        served: the arm.
        rule: in a sentence.
        reason: what the rule came to, in a sentence.
        candidates: the simplest first; empty where the arm was given.
        rows, clicks, users, seeds: what the figures are taken from; `users` with clicks and non-clicks.
    """

    backbone: str
    served: Arm
    rule: str
    reason: str
    candidates: tuple[CandidateFigures, ...] = ()
    rows: int = 0
    clicks: int = 0
    users: int = 0
    seeds: int = 0

    @property
    def measures(self) -> tuple[str, ...]:
        """Those in which candidates are behind that decided, by the rule of the time."""
        known = tuple(self.candidates[0].behind) if self.candidates else ()
        return tuple(one for one in ("mean", "simplest") if one in known) or known

    @classmethod
    def given(cls, backbone: str, arm: Arm) -> Choice:
        """An arm that somebody asked for."""
        return cls(backbone=backbone, served=arm, rule="the arm was given", reason=f"{arm} was asked for")


def choose(
    backbone: str,
    label: NDArray[np.float32],
    users: NDArray[np.int64] | None,
    scores: Mapping[Arm, Sequence[NDArray[np.float32]]],
    *,
    margin: float,
    left_out: str = "",
) -> Choice:
    """Chooses among arms by their scores of the validation rows.

    Args:
        backbone: its name.
        label: (N,) 0 or 1, of both kinds.
        users: (N,) codes; None where rows have no users.
        scores: the arms, the simplest first, each with (N,) click probabilities of seeds 0 to S-1.
        margin: the smallest difference that matters.
        left_out: which arms were not offered, and why.

    Raises:
        DataError: there is no arm, or arms differ in their seeds.
    """
    seeds = {len(some) for some in scores.values()}
    if len(seeds) != 1 or 0 in seeds:
        raise DataError(
            f"arms come with {sorted(seeds)} seeds each: give every arm the same seeds, and one arm at least"
        )
    drawn = Resamples.of(len(label), _RESAMPLES, users=users)
    ranked = _ranked_users(label, users)
    over_rows = {arm: _over_rows(label, some, drawn) for arm, some in scores.items()}
    gaps = {"auc": _gaps(over_rows, _best(over_rows))}
    within_users: dict[Arm, _Figures] = {}
    if users is not None and ranked >= _FEWEST_RANKED_USERS:
        within_users = {arm: _within_users(label, some, drawn) for arm, some in scores.items()}
        gaps["user_auc"] = _gaps(within_users, _best(within_users))
        gaps["simplest"] = _gaps(within_users, next(iter(within_users.values())))
        mean = {arm: one.mean_with(within_users[arm]) for arm, one in over_rows.items()}
        may = {arm: one for arm, one in mean.items() if _passes(gaps["simplest"][arm], margin)}
        gaps["mean"] = _gaps(mean, _best(may))
    candidates = tuple(
        CandidateFigures(
            arm=arm,
            auc=math.fsum(auc(label, one) for one in some) / len(some),
            user_auc=within_users[arm].mean if within_users else None,
            logloss=math.fsum(logloss(label, one) for one in some) / len(some),
            behind={measure: by_arm[arm][0] for measure, by_arm in gaps.items()},
            error={measure: by_arm[arm][1] for measure, by_arm in gaps.items()},
            within=tuple(measure for measure, by_arm in gaps.items() if _passes(by_arm[arm], margin)),
        )
        for arm, some in scores.items()
    )
    deciding = ("simplest", "mean") if within_users else ("auc",)
    served = next(one for one in candidates if set(deciding) <= set(one.within))
    reason = _reason(served, candidates, deciding[-1])
    if max(one.auc for one in candidates) <= _CHANCE:
        reason += "; none is above chance there"
    return Choice(
        backbone=backbone,
        served=served.arm,
        rule=_rule(margin, by_users=bool(within_users)),
        reason=f"{reason}; {left_out}" if left_out else reason,
        candidates=candidates,
        rows=len(label),
        clicks=int(np.count_nonzero(label)),
        users=ranked,
        seeds=seeds.pop(),
    )


@dataclass(frozen=True)
class _Figures:
    """A measure of an arm: by seed (S,), and its mean over seeds on each resample (W,)."""

    by_seed: NDArray[np.float64]
    resampled: NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(self.by_seed.mean())

    def mean_with(self, other: _Figures) -> _Figures:
        """The mean of two measures of one arm."""
        return _Figures((self.by_seed + other.by_seed) / 2, (self.resampled + other.resampled) / 2)


def _over_rows(label: NDArray[np.float32], scores: Sequence[NDArray[np.float32]], drawn: Resamples) -> _Figures:
    """AUC over all rows."""
    every = np.ones(len(label), np.bool_)
    resampled = [weighted_auc(label, one, drawn.weights(every)) for one in scores]
    return _Figures(np.array([auc(label, one) for one in scores]), np.mean(resampled, axis=0))


def _within_users(label: NDArray[np.float32], scores: Sequence[NDArray[np.float32]], drawn: Resamples) -> _Figures:
    """AUC over pairs of one user's rows."""
    by_seed, samples = [], []
    weights = drawn.counts.astype(np.float64)
    for one in scores:
        won, pairs = pair_auc(label, one, drawn.unit)
        by_seed.append(float(won.sum() / pairs.sum()))
        samples.append(np.divide(weights @ won, weights @ pairs))
    return _Figures(np.array(by_seed), np.mean(samples, axis=0))


def _best(figures: Mapping[Arm, _Figures]) -> _Figures:
    """The first of equals."""
    return max(figures.values(), key=lambda one: one.mean)


def _gaps(figures: Mapping[Arm, _Figures], against: _Figures) -> dict[Arm, tuple[float, float]]:
    """How far each arm is behind one of them, and the standard error of that; (0, 0) for itself."""
    found = {}
    for arm, one in figures.items():
        over_seeds = against.by_seed - one.by_seed
        variance = float(np.nanvar(against.resampled - one.resampled))
        if len(over_seeds) > 1:
            variance += float(np.var(over_seeds, ddof=1)) / len(over_seeds)
        found[arm] = (against.mean - one.mean, math.sqrt(variance))
    return found


def _passes(gap: tuple[float, float], margin: float) -> bool:
    """Whether an arm is behind by no more than one standard error, or the margin."""
    behind, error = gap
    return behind <= max(error, margin)


def _reason(served: CandidateFigures, candidates: Sequence[CandidateFigures], measure: str) -> str:
    barred = [one.arm for one in candidates if "simplest" in one.behind and "simplest" not in one.within]
    simpler = [one.arm for one in candidates[: candidates.index(served)] if one.arm not in barred]
    best = max(candidates, key=lambda one: one.auc)
    said = f"; {_listed(barred)} not taken, being behind {candidates[0].arm} within users" if barred else ""
    if simpler:
        return f"{served.arm} is within it, the simpler {_listed(simpler)} not{said}"
    if served.behind[measure] == 0:
        figure = f"AUC {served.auc:.4f}" + (
            f", within users {served.user_auc:.4f}" if served.user_auc is not None else ""
        )
        return f"{served.arm} is the simplest and the best ({figure}){said}"
    return f"{served.arm}, the simplest, has AUC {served.auc:.4f}, the best ({best.arm}) {best.auc:.4f}{said}"


def _listed(arms: Sequence[Arm]) -> str:
    return f"{' and '.join(map(str, arms))} {'is' if len(arms) == 1 else 'are'}"


def _rule(margin: float, *, by_users: bool) -> str:
    what = "the mean of AUC and AUC within users, of those as good as the simplest within users" if by_users else "AUC"
    return (
        f"the simplest arm within one standard error of the best on validation, in {what} "
        f"(differences up to {margin:g} count as none)"
    )


def _ranked_users(label: NDArray[np.float32], users: NDArray[np.int64] | None) -> int:
    """How many users have clicks and non-clicks."""
    if users is None or not len(users):
        return 0
    codes = np.unique(users, return_inverse=True)[1].reshape(-1)
    clicks, rows = np.bincount(codes, label > 0), np.bincount(codes)
    return int(np.count_nonzero((clicks > 0) & (clicks < rows)))
