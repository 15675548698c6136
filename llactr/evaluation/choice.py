"""Which arm is served: chosen on validation rows alone, by one rule that is printed.

Of the arms that are not behind the simplest within users by more than one standard error, the simplest that is within
one of the best of them, in AUC over all rows and in AUC within users. Where none is within it in both, the best mean of
the two: the share of pairs in the right order, if half of the pairs are of one user. Where too few users have clicks
and non-clicks to rank, AUC alone; where fewer than ten have a click at all (or a row without), no error can be taken,
and the simplest is served. So nobody's order gets worse for a level that ranks nothing within a person, an arm
far behind in AUC has to be as far ahead within users, and one arm always passes. The error is that of the difference
between two arms: over users (rows, where there are no users) by a bootstrap, and over seeds. A difference below the
margin counts as none. After Breiman et al. 1984, section 3.4.3, with the error of the paired difference in the place of
the best arm's own, which would hide what the same rows show. Within users an arm that reads a person's past is judged
as of one moment: between two its scores move with the outcomes that are ranked, which lifts AUC within users on noise.

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
from llactr.evaluation.resampling import FEWEST_CARRIERS, Resamples
from llactr.evaluation.slices import carriers, weighted_auc
from llactr.steps import StepResult

__all__ = ["RULE", "CandidateFigures", "Choice", "choose"]

RULE = "both, else the mean; the simplest of too few clicks; within users as of one moment"
"""Names the rule among those of other versions, so that a choice by another is made anew."""
_RESAMPLES = 400
_FEWEST_RANKED_USERS = 30
"""With fewer users who have clicks and non-clicks, AUC within users decides nothing."""
_CHANCE = 0.5


class CandidateFigures(BaseModel):
    """An arm on the validation rows, means over seeds.

    `behind` and `error` are by measure: how far it is behind, and the standard error of that. `auc` and `user_auc` are
    behind the best arm that may be served, and below 0 for a better one that may not; `simplest` is behind the simplest
    arm within users. Without users there is `auc` alone. `within` lists those in which it is within one error, or the
    margin.
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
        """Those in which candidates are behind that are shown: whether one may be served at all is said in words."""
        known = self.candidates[0].behind if self.candidates else {}
        return tuple(one for one in ("auc", "user_auc") if one in known)

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
    still: Mapping[Arm, Sequence[NDArray[np.float32]]] | None = None,
    left_out: str = "",
) -> Choice:
    """Chooses among arms by their scores of the validation rows.

    Args:
        backbone: its name.
        label: (N,) 0 or 1, of both kinds.
        users: (N,) codes; None where rows have no users.
        scores: the arms, the simplest first, each with (N,) click probabilities of seeds 0 to S-1.
        margin: the smallest difference that matters.
        still: of arms that read a person's past, the scores as of one moment, which the order within users is taken
            from: between two moments that past moves with the outcomes that are ranked.
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
    within_users: dict[Arm, _Figures] = {}
    gaps: dict[str, dict[Arm, tuple[float, float]]] = {}
    may = tuple(scores)
    if users is not None and ranked >= _FEWEST_RANKED_USERS:
        calm = {**scores, **(still or {})}
        within_users = {arm: _within_users(label, calm[arm], drawn) for arm in scores}
        gaps["simplest"] = _gaps(within_users, may[:1])
        may = tuple(arm for arm in scores if _passes(gaps["simplest"][arm], margin))
        gaps["user_auc"] = _gaps(within_users, may)
    gaps["auc"] = _gaps(over_rows, may)
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
    scarce = _scarce(label, drawn)
    served, reason = (next(iter(scores)), scarce) if scarce else _served(candidates, may)
    if max(one.auc for one in candidates) <= _CHANCE:
        reason += "; none is above chance there"
    return Choice(
        backbone=backbone,
        served=served,
        rule=_rule(margin, by_users=bool(within_users), still=bool(still)),
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


def _gaps(figures: Mapping[Arm, _Figures], may: Sequence[Arm]) -> dict[Arm, tuple[float, float]]:
    """How far each arm is behind the best of some, and the standard error of that; (0, 0) for it, the first of ties."""
    best = max((figures[arm] for arm in may), key=lambda one: one.mean)
    found = {}
    for arm, one in figures.items():
        over_seeds = best.by_seed - one.by_seed
        variance = float(np.nanvar(best.resampled - one.resampled))
        if len(over_seeds) > 1:
            variance += float(np.var(over_seeds, ddof=1)) / len(over_seeds)
        found[arm] = (best.mean - one.mean, math.sqrt(variance))
    return found


def _passes(gap: tuple[float, float], margin: float) -> bool:
    """Whether an arm is behind by no more than one standard error, or the margin."""
    behind, error = gap
    return behind <= max(error, margin)


def _served(candidates: Sequence[CandidateFigures], may: Sequence[Arm]) -> tuple[Arm, str]:
    """The arm, and why."""
    barred = [one.arm for one in candidates if one.arm not in may]
    said = f"; {_listed(barred)} not taken, being behind {candidates[0].arm} within users" if barred else ""
    allowed = [one for one in candidates if one.arm in may]
    for one in allowed:
        if len(one.within) == len(one.behind):
            return one.arm, _reason(one, allowed) + said
    best = max(allowed, key=_mean)
    others = f"the mean of both is the best with {best.arm} ({_mean(best):.4f})"
    return best.arm, f"no arm is within it in both, and {others}{said}"


def _mean(one: CandidateFigures) -> float:
    return one.auc if one.user_auc is None else (one.auc + one.user_auc) / 2


def _reason(served: CandidateFigures, allowed: Sequence[CandidateFigures]) -> str:
    simpler = [one.arm for one in allowed[: allowed.index(served)]]
    best = max(allowed, key=lambda one: one.auc)
    if simpler:
        return f"{served.arm} is within it, the simpler {_listed(simpler)} not"
    if best is served:
        return f"{served.arm} is the simplest and the best (AUC {served.auc:.4f})"
    return f"{served.arm}, the simplest, has AUC {served.auc:.4f}, the best ({best.arm}) {best.auc:.4f}"


def _listed(arms: Sequence[Arm]) -> str:
    return f"{' and '.join(map(str, arms))} {'is' if len(arms) == 1 else 'are'}"


def _rule(margin: float, *, by_users: bool, still: bool) -> str:
    some = (
        ", of those not behind the simplest within users, in AUC and in AUC within users"
        f"{' as of one moment' * still}; else the best mean of the two"
    )
    return (
        f"the simplest arm within one standard error of the best on validation{some if by_users else ', in AUC'} "
        f"(differences up to {margin:g} count as none)"
    )


def _scarce(label: NDArray[np.float32], drawn: Resamples) -> str:
    """That too few users (or rows) have a click, or one without, to choose by; empty where there are enough."""
    every = {"all": np.ones(len(label), np.bool_)}
    units = carriers(label, every, drawn)["all"]["auc"]
    if units >= FEWEST_CARRIERS:
        return ""
    return (
        f"too few clicks to choose by: fewer than {FEWEST_CARRIERS} {drawn.drawn} have one, or a row without, so the "
        "simplest is served"
    )


def _ranked_users(label: NDArray[np.float32], users: NDArray[np.int64] | None) -> int:
    """How many users have clicks and non-clicks."""
    if users is None or not len(users):
        return 0
    codes = np.unique(users, return_inverse=True)[1].reshape(-1)
    clicks, rows = np.bincount(codes, label > 0), np.bincount(codes)
    return int(np.count_nonzero((clicks > 0) & (clicks < rows)))
