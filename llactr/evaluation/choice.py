"""Which arm is served: chosen on validation rows alone, by one rule that is printed.

The simplest arm that is within one standard error of the best, in AUC over all rows and in AUC within users where
users have clicks and non-clicks to rank; where none is in both, the best AUC among those within it for users. The
error is that of the difference from the best arm: over users (rows, where there are no users) by a bootstrap, and over
seeds. A difference below the margin counts as none. After Breiman et al. 1984, section 3.4.3, with the error of the
paired difference in the place of the best arm's own, which would hide what the same rows show.

A new arm to choose from is a line in `CANDIDATES`.

Legend: N rows, W resamples, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.ctr.metrics import auc, logloss
from llactr.errors import DataError
from llactr.evaluation.arms import Arm
from llactr.evaluation.ranking import pair_auc
from llactr.evaluation.resampling import Resamples
from llactr.evaluation.slices import weighted_auc
from llactr.spec import DatasetSpec
from llactr.steps import StepResult

__all__ = [
    "CANDIDATES",
    "FEWEST_PAST",
    "Candidate",
    "CandidateFigures",
    "Choice",
    "Offer",
    "choose",
    "offered",
]

_RESAMPLES = 400
FEWEST_PAST = 20
"""With fewer earlier events, the median over rows, nothing is proven of history, and it can harm (docs/history.md)."""
_FEWEST_RANKED_USERS = 30
"""With fewer users who have clicks and non-clicks, AUC within users decides nothing."""
_CHANCE = 0.5
_Measure = Literal["auc", "user_auc"]


@dataclass(frozen=True)
class Offer:
    """What a dataset has that arms may need.

    Attributes:
        spec: of the dataset.
        values_encoded: whether the values' texts have been encoded.
        past: owner -> median over the validation rows of how many earlier events their user, or item, has; empty for a
            dataset without users or items.
    """

    spec: DatasetSpec
    values_encoded: bool
    past: Mapping[str, float] = field(default_factory=dict)

    def has_past(self, owner: Literal["user", "item"]) -> bool:
        """Whether half of the rows' users (or items) have `FEWEST_PAST` earlier events: below, history may harm."""
        return self.past.get(owner, 0) >= FEWEST_PAST

    @property
    def left_out(self) -> str:
        """Which arms with history are not offered, and why, in a sentence's part; empty for none."""
        if not self.past:
            return ""
        short = [owner for owner in ("user", "item") if not self.has_past(owner)]
        said = " and ".join(
            f"half of the validation rows have fewer than {FEWEST_PAST} earlier events of their {owner} "
            f"(median {self.past[owner]:g})"
            for owner in short
        )
        what = {("user",): "a person's past", ("item",): "the past", ("user", "item"): "the past"}
        return f"{what[tuple(short)]} is not offered, as {said}" if short else ""


@dataclass(frozen=True)
class Candidate:
    """An arm that may be served, and whether a dataset has what it needs."""

    arm: Arm
    fits: Callable[[Offer], bool]


CANDIDATES: tuple[Candidate, ...] = (
    Candidate(Arm.parse("plain"), lambda _: True),
    Candidate(Arm.parse("paper"), lambda _: True),
    Candidate(Arm.parse("values"), lambda offer: offer.values_encoded),
    Candidate(Arm.parse("items"), lambda offer: offer.has_past("item")),
    Candidate(Arm.parse("history"), lambda offer: offer.has_past("item") and offer.has_past("user")),
    Candidate(Arm.parse("history taste"), lambda offer: offer.has_past("item") and offer.has_past("user")),
)
"""All arms to choose from, the simplest first: what needs less to be kept up in production is simpler.

Those that read the past come without a section `history` in the spec too: whoever does not write one wants the best
model all the same, and the choice takes it only where it is surely better."""


def offered(offer: Offer) -> tuple[Arm, ...]:
    """The arms that a dataset can be served with, the simplest first."""
    return tuple(one.arm for one in CANDIDATES if one.fits(offer))


class CandidateFigures(BaseModel):
    """An arm on the validation rows, means over seeds.

    `behind` and `error` are by measure (`auc`, `user_auc`): how far it is behind the best arm, and the standard error
    of that; `within` lists the measures in which it is within one error, or the margin.
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
    measures: tuple[_Measure, ...] = ("auc", "user_auc") if ranked >= _FEWEST_RANKED_USERS else ("auc",)
    found = {
        measure: {arm: _measured(measure, label, users, some, drawn) for arm, some in scores.items()}
        for measure in measures
    }
    gaps = {measure: _gaps(figures) for measure, figures in found.items()}
    candidates = tuple(
        CandidateFigures(
            arm=arm,
            auc=math.fsum(auc(label, one) for one in some) / len(some),
            user_auc=found["user_auc"][arm].mean if "user_auc" in found else None,
            logloss=math.fsum(logloss(label, one) for one in some) / len(some),
            behind={measure: gaps[measure][arm][0] for measure in measures},
            error={measure: gaps[measure][arm][1] for measure in measures},
            within=tuple(m for m in measures if gaps[m][arm][0] <= max(gaps[m][arm][1], margin)),
        )
        for arm, some in scores.items()
    )
    served, reason = _served(candidates, measures)
    if max(one.auc for one in candidates) <= _CHANCE:
        reason += "; none is above chance there"
    return Choice(
        backbone=backbone,
        served=served,
        rule=_rule(measures, margin),
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


def _measured(
    measure: _Measure,
    label: NDArray[np.float32],
    users: NDArray[np.int64] | None,
    scores: Sequence[NDArray[np.float32]],
    drawn: Resamples,
) -> _Figures:
    every = np.ones(len(label), np.bool_)
    if measure == "auc":
        resampled = [weighted_auc(label, one, drawn.weights(every)) for one in scores]
        return _Figures(np.array([auc(label, one) for one in scores]), np.mean(resampled, axis=0))
    assert users is not None
    by_seed, samples = [], []
    for one in scores:
        won, pairs = pair_auc(label, one, drawn.unit)
        by_seed.append(float(won.sum() / pairs.sum()))
        weights = drawn.counts.astype(np.float64)
        samples.append(np.divide(weights @ won, weights @ pairs))
    return _Figures(np.array(by_seed), np.mean(samples, axis=0))


def _gaps(figures: Mapping[Arm, _Figures]) -> dict[Arm, tuple[float, float]]:
    """How far each arm is behind the best, and the standard error of that; (0, 0) for the best, the first of equals."""
    best = max(figures.values(), key=lambda one: one.mean)
    found = {}
    for arm, one in figures.items():
        over_seeds = best.by_seed - one.by_seed
        variance = float(np.nanvar(best.resampled - one.resampled))
        if len(over_seeds) > 1:
            variance += float(np.var(over_seeds, ddof=1)) / len(over_seeds)
        found[arm] = (best.mean - one.mean, math.sqrt(variance))
    return found


def _served(candidates: Sequence[CandidateFigures], measures: Sequence[_Measure]) -> tuple[Arm, str]:
    for one in candidates:
        if len(one.within) == len(measures):
            return one.arm, _reason(one, candidates)
    ranking = [one for one in candidates if "user_auc" in one.within]
    best = max(ranking, key=lambda one: one.auc)
    return best.arm, f"no arm is within it in both; of those within it for users {best.arm} has the best AUC"


def _reason(served: CandidateFigures, candidates: Sequence[CandidateFigures]) -> str:
    simpler = [str(one.arm) for one in candidates[: candidates.index(served)]]
    best = max(candidates, key=lambda one: one.auc)
    if simpler:
        behind = " and ".join(simpler)
        return f"{served.arm} is within it, the simpler {behind} {'is' if len(simpler) == 1 else 'are'} not"
    if best is served:
        return f"{served.arm} is the simplest and the best (AUC {served.auc:.4f})"
    return f"{served.arm}, the simplest, has AUC {served.auc:.4f}, the best ({best.arm}) {best.auc:.4f}"


def _rule(measures: Sequence[_Measure], margin: float) -> str:
    within = "AUC and in AUC within users" if "user_auc" in measures else "AUC"
    return (
        f"the simplest arm within one standard error of the best on validation, in {within} "
        f"(differences up to {margin:g} count as none)"
    )


def _ranked_users(label: NDArray[np.float32], users: NDArray[np.int64] | None) -> int:
    """How many users have clicks and non-clicks."""
    if users is None or not len(users):
        return 0
    codes = np.unique(users, return_inverse=True)[1].reshape(-1)
    clicks, rows = np.bincount(codes, label > 0), np.bincount(codes)
    return int(np.count_nonzero((clicks > 0) & (clicks < rows)))
