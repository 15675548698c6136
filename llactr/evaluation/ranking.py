"""How well scores rank within a person and within a request, beside AUC over all rows, with intervals over users.

AUC over all rows also rewards knowing which people click more, which ranks nothing for any of them.

Legend: N rows, G groups (users, or a user's minutes), U users, T draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError

__all__ = ["METRICS", "Ranking", "RankingRows", "ndcg", "pair_auc", "recall", "requests_of", "weighted_auc"]

METRICS = ("auc", "user_auc", "request_auc", "ndcg")
_MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Ranking:
    """Figures of some rows; None where there is no pair, or no group, to judge.

    Attributes:
        auc: over pairs of all rows.
        user_auc: over pairs of rows of one user.
        request_auc: over pairs of rows of one user within one minute.
        ndcg: NDCG@10 of users' lists, the mean over users with both outcomes.
    """

    auc: float | None
    user_auc: float | None
    request_auc: float | None
    ndcg: float | None


def requests_of(user: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes (N,) of a user's minutes: rows of one user and one minute of the clock count as one request.

    Args:
        user: (N,) codes of users.
        time: (N,) microseconds.
    """
    return np.unique(np.stack([user, time // _MINUTE_US]), axis=1, return_inverse=True)[1].reshape(-1)


def pair_auc(
    label: NDArray[np.float32], score: NDArray[np.float32], group: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per group, pairs of a click and a non-click in the right order (a tie counts half), and all such pairs.

    The AUC over pairs within groups is the quotient of both sums.

    Args:
        label: (N,) 0 or 1.
        score: (N,).
        group: (N,) codes 0..G-1.

    Returns:
        Two (G,) arrays.
    """
    groups = int(group.max()) + 1 if len(group) else 0
    order = np.lexsort((score, group))
    clicked, score, group = label[order] > 0, score[order], group[order]
    new_group = np.append(True, group[1:] != group[:-1])[: len(group)]
    new_tie = new_group | np.append(True, score[1:] != score[:-1])[: len(group)]
    others = np.cumsum(~clicked)
    before = np.concatenate([[0], others])[:-1]  # non-clicks in the rows before, of all groups
    group_start = np.maximum.accumulate(np.where(new_group, np.arange(len(group)), 0))
    tie_start = np.maximum.accumulate(np.where(new_tie, np.arange(len(group)), 0))
    tie_number = np.cumsum(new_tie) - 1
    tied_others = np.bincount(tie_number, ~clicked)[tie_number] if len(clicked) else np.zeros(0)
    below = before[tie_start] - before[group_start] if len(clicked) else np.zeros(0)
    wins = np.bincount(group, np.where(clicked, below + tied_others / 2, 0), groups)
    clicks = np.bincount(group, clicked, groups).astype(np.float64)
    return wins.astype(np.float64), clicks * (np.bincount(group, minlength=groups) - clicks)


def ndcg(
    label: NDArray[np.float32], score: NDArray[np.float32], group: NDArray[np.int64], *, top: int = 10
) -> NDArray[np.float64]:
    """NDCG@top of each group (Järvelin and Kekäläinen 2002), gain 1 for a click; NaN without both outcomes.

    Rows with one score share the discounts of their places evenly: the expectation over their orders.

    Returns:
        (G,).
    """
    gained, clicks, sizes = _gained(
        label, score, group, lambda place: np.where(place < top, 1 / np.log2(place + 2.0), 0.0)
    )
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(top) + 2.0))])
    ideal = best[np.minimum(clicks, top).astype(np.int64)]
    usable = (clicks > 0) & (clicks < sizes)
    return np.where(usable, gained / np.where(usable, ideal, 1), np.nan)


def recall(
    label: NDArray[np.float32], score: NDArray[np.float32], group: NDArray[np.int64], *, top: int = 10
) -> NDArray[np.float64]:
    """Recall@top of each group: which share of its clicks is among its `top` rows of the highest score.

    NaN without both outcomes, and in groups of at most `top` rows, whose recall says nothing. Ties count as in `ndcg`.

    Returns:
        (G,).
    """
    gained, clicks, sizes = _gained(label, score, group, lambda place: (place < top).astype(np.float64))
    usable = (clicks > 0) & (clicks < sizes) & (sizes > top)
    return np.where(usable, gained / np.where(usable, clicks, 1), np.nan)


def _gained(
    label: NDArray[np.float32],
    score: NDArray[np.float32],
    group: NDArray[np.int64],
    discount_of: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Per group (G,): the discounts of its clicks' places, by falling score, ties sharing theirs; clicks; rows."""
    groups = int(group.max()) + 1 if len(group) else 0
    order = np.lexsort((-score, group))
    label, score, group = label[order].astype(np.float64), score[order], group[order]
    sizes = np.bincount(group, minlength=groups)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    discount = discount_of(np.arange(len(group)) - starts[group])
    tie = np.cumsum(
        np.append(True, (group[1:] != group[:-1]) | (score[1:] != score[:-1]))[: len(group)].astype(np.int64)
    )
    shared = (np.bincount(tie, discount) / np.maximum(np.bincount(tie), 1))[tie] if len(tie) else discount
    gained, clicks = (np.bincount(group, weight, groups).astype(np.float64) for weight in (label * shared, label))
    return gained, clicks, sizes.astype(np.int64)


def weighted_auc(label: NDArray[np.float32], score: NDArray[np.float32], weight: NDArray[np.float64]) -> float:
    """AUC over pairs of rows, each pair weighing the product of its rows' weights; NaN without a pair."""
    order = np.argsort(score, kind="stable")
    clicked = label[order] > 0
    clicks, others = np.where(clicked, weight[order], 0), np.where(clicked, 0, weight[order])
    tie = np.cumsum(np.append(True, np.diff(score[order]) != 0)[: len(order)]) - 1
    tied_clicks, tied_others = np.bincount(tie, clicks), np.bincount(tie, others)
    below = np.cumsum(tied_others) - tied_others
    pairs = clicks.sum() * others.sum()
    return float((tied_clicks * (below + tied_others / 2)).sum() / pairs) if pairs > 0 else float("nan")


class RankingRows:
    """Rows to judge scores on, with draws of users for intervals.

    Args:
        label: (N,) 0 or 1.
        user: (N,) keys of any kind that NumPy can sort.
        time: (N,) microseconds.
        draws: T, resamples of users.
        seed: of the draws.
    """

    def __init__(
        self,
        label: NDArray[np.float32],
        user: NDArray[np.generic],
        time: NDArray[np.int64],
        *,
        draws: int = 500,
        seed: int = 0,
    ) -> None:
        if not label.shape == user.shape == time.shape:
            raise DataError("labels, users and times of rows must be equally long: one of each per row")
        self.label = label
        users, self.user = np.unique(user, return_inverse=True)
        self.user = self.user.reshape(-1).astype(np.int64)
        self.request = requests_of(self.user, time)
        owners = np.zeros(int(self.request.max()) + 1 if len(time) else 0, np.int64)
        owners[self.request] = self.user
        self._owners = owners
        self._kept: dict[int, tuple[_Pairs, _Pairs, NDArray[np.float64]]] = {}
        chance = np.full(len(users), 1 / max(len(users), 1))
        self._draws = np.random.default_rng(seed).multinomial(len(users), chance, size=draws)  # T x U

    def measure(self, score: NDArray[np.float32]) -> Ranking:
        """The figures of scores (N,)."""
        figures = self._figures(score, np.ones(self._draws.shape[1]))
        return Ranking(*(None if np.isnan(value) else value for value in figures))

    def difference(
        self, score: NDArray[np.float32], than: NDArray[np.float32], *, level: float = 0.95
    ) -> dict[str, tuple[float, float, float]]:
        """By metric: how much better `score` is, and the bootstrap interval over users (percentiles)."""
        ones = np.ones(self._draws.shape[1])
        whole = np.array(self._figures(score, ones)) - self._figures(than, ones)
        drawn = np.array([np.array(self._figures(score, w)) - self._figures(than, w) for w in self._draws])
        tails = 100 * (1 - level) / 2
        found = {}
        for at, name in enumerate(METRICS):
            usable = drawn[:, at][~np.isnan(drawn[:, at])]
            low, high = np.percentile(usable, [tails, 100 - tails]) if len(usable) else (np.nan, np.nan)
            found[name] = (float(whole[at]), float(low), float(high))
        return found

    def _figures(self, score: NDArray[np.float32], weight: NDArray[np.generic]) -> tuple[float, float, float, float]:
        """METRICS, each user counting `weight` (U,) times."""
        weights = weight.astype(np.float64)
        within, minutes, lists = self._parts(score)
        judged = np.where(np.isnan(lists), 0, weights)
        return (
            weighted_auc(self.label, score, weights[self.user]),
            _quotient((within[0] * weights).sum(), (within[1] * weights).sum()),
            _quotient((minutes[0] * weights[self._owners]).sum(), (minutes[1] * weights[self._owners]).sum()),
            _quotient((np.nan_to_num(lists) * judged).sum(), judged.sum()),
        )

    def _parts(self, score: NDArray[np.float32]) -> tuple[_Pairs, _Pairs, NDArray[np.float64]]:
        """What does not depend on weights; the last few are kept."""
        key = hash(score.tobytes())
        if key not in self._kept:
            if len(self._kept) > 8:
                self._kept.clear()
            self._kept[key] = (
                pair_auc(self.label, score, self.user),
                pair_auc(self.label, score, self.request),
                ndcg(self.label, score, self.user),
            )
        return self._kept[key]


_Pairs = tuple[NDArray[np.float64], NDArray[np.float64]]


def _quotient(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
