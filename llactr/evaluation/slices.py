"""Test metrics by what training had seen of a row's user and item, and calibration.

Letters: N rows, W resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from llactr.ctr.metrics import calibration_error, measure, row_logloss
from llactr.evaluation.evidence import ALL_ROWS, Metric
from llactr.evaluation.ranking import ndcg, pair_auc, recall
from llactr.evaluation.resampling import FEWEST_CARRIERS, Resamples
from llactr.spec import DatasetSpec
from llactr.transforms import Transform

__all__ = ["SLICES", "carriers", "row_slices", "slice_metrics", "trusted", "weighted_auc", "within_users"]

_TOP = 10
SLICES = ("all", "unseen items", "rare items, n<=3", "rare items, n<=10", "unseen users", "warm")


def row_slices(spec: DatasetSpec, transform: Transform, ids: NDArray[np.int32]) -> dict[str, NDArray[np.bool_]]:
    """The slices of some rows by the training counts n of their keys: unseen is n=0, rare is 1..3 or 1..10, warm n>0.

    Args:
        spec: names the join keys; an entity whose key is no field counts as seen.
        transform: fitted on the training rows.
        ids: (N, C) local ids of the transform.
    """
    item, user = (_key_counts(spec, transform, ids, owner) for owner in ("item", "user"))
    return {
        "all": np.ones(len(ids), np.bool_),
        "unseen items": item == 0,
        "rare items, n<=3": (item > 0) & (item <= 3),
        "rare items, n<=10": (item > 0) & (item <= 10),
        "unseen users": user == 0,
        "warm": (item > 0) & (user > 0),
    }


def _key_counts(spec: DatasetSpec, transform: Transform, ids: NDArray[np.int32], owner: str) -> NDArray[np.int64]:
    entity = next((one for name, one in spec.entities.items() if name == owner), None)
    for number, field in enumerate(spec.fields):
        if entity is not None and field.owner == owner and field.column == entity.join_key:
            slot = int(transform.layout.slot_starts[number])
            counts: NDArray[np.int64] = transform.counts[number][ids[:, slot]]
            return counts
    return np.full(len(ids), np.iinfo(np.int64).max)


def weighted_auc(
    label: NDArray[np.float32], score: NDArray[np.float32], weights: Iterable[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """AUC (W,) of the same rows under several weightings, ties counting half; NaN where a class has no weight.

    One sort, then two passes per weighting: what a bootstrap over rows needs.

    Args:
        label: (N,) 0 or 1.
        score: (N,).
        weights: W times (N,), such as how often each resample holds a row.
    """
    order = np.argsort(score, kind="stable")
    ranked, click = score[order], (label[order] > 0).astype(np.float64)
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    found = []
    for weight in weights:
        ordered = weight[order]
        clicks = ordered * click
        others = ordered - clicks
        if len(starts) < len(order):
            clicks, others = (np.add.reduceat(part, starts) for part in (clicks, others))
        total = clicks.sum() * others.sum()
        right = clicks @ (np.cumsum(others) - others / 2)
        found.append(right / total if total else np.nan)
    return np.array(found, np.float64)


def slice_metrics(
    label: NDArray[np.float32],
    scores: NDArray[np.float32],
    slices: Mapping[str, NDArray[np.bool_]],
    drawn: Resamples,
    users: NDArray[np.int64] | None = None,
) -> tuple[dict[str, dict[Metric, float | None]], dict[str, dict[Metric, NDArray[np.float64]]]]:
    """Metrics of each slice, and AUC and logloss on each resample where the slice has clicks and others.

    Args:
        label: (N,) 0 or 1.
        scores: (N,) click probabilities.
        slices: name -> (N,) which rows.
        drawn: the resamples of the rows.
        users: (N,) codes; with them the slice of all rows has AUC, NDCG@10 and recall@10 within users as well.
    """
    metrics: dict[str, dict[Metric, float | None]] = {}
    resampled: dict[str, dict[Metric, NDArray[np.float64]]] = {}
    for name, chosen in slices.items():
        found = measure(label[chosen], scores[chosen])
        error = calibration_error(label[chosen], scores[chosen]) if chosen.any() else None
        metrics[name] = {"auc": found.auc, "logloss": found.logloss, "ece": error}
        if found.auc is not None:
            losses = row_logloss(label[chosen], scores[chosen])
            rows = drawn.sums(np.ones(len(losses)), chosen)
            total = drawn.sums(losses, chosen)
            resampled[name] = {
                "auc": weighted_auc(label[chosen], scores[chosen], drawn.weights(chosen)),
                "logloss": np.divide(total, rows, out=np.full(len(rows), np.nan), where=rows > 0),
            }
    if users is not None and metrics.get(ALL_ROWS, {}).get("auc") is not None:
        _add_ranking(label, scores, users, drawn, metrics[ALL_ROWS], resampled[ALL_ROWS])
    return metrics, resampled


def carriers(
    label: NDArray[np.float32],
    slices: Mapping[str, NDArray[np.bool_]],
    drawn: Resamples,
    users: NDArray[np.int64] | None = None,
) -> dict[str, dict[Metric, int]]:
    """How many of the units that resamples draw carry a metric, of each slice; see `FEWEST_CARRIERS`.

    Of AUC and logloss those with a click or those with a row without one, the fewer; of the order within users those
    with both, and of recall those of them with more than ten rows.

    Args:
        label: (N,) 0 or 1.
        slices: name -> (N,) which rows.
        drawn: the resamples of the rows.
        users: (N,) codes; None where there are none.
    """
    found: dict[str, dict[Metric, int]] = {}
    for name, chosen in slices.items():
        sides = [len(np.unique(drawn.unit[chosen & (label == side)])) for side in (0, 1)]
        found[name] = dict.fromkeys(("auc", "logloss"), min(sides))
    if users is not None and ALL_ROWS in found:
        codes = np.unique(users, return_inverse=True)[1].reshape(-1)
        clicks, rows = np.bincount(codes, label), np.bincount(codes)
        both = (clicks > 0) & (clicks < rows)
        found[ALL_ROWS] |= dict.fromkeys(("user_auc", "ndcg", "moment_auc"), int(both.sum()))
        found[ALL_ROWS]["recall"] = int((both & (rows > _TOP)).sum())
    return found


def trusted(
    resampled: Mapping[str, Mapping[Metric, NDArray[np.float64]]], carried: Mapping[str, Mapping[Metric, int]]
) -> dict[str, dict[Metric, NDArray[np.float64]]]:
    """The resamples of `slice_metrics` that enough units carry for an interval; see `carriers`."""
    return {
        name: {metric: some for metric, some in by.items() if carried[name][metric] >= FEWEST_CARRIERS}
        for name, by in resampled.items()
    }


def _add_ranking(
    label: NDArray[np.float32],
    scores: NDArray[np.float32],
    users: NDArray[np.int64],
    drawn: Resamples,
    metrics: dict[Metric, float | None],
    resampled: dict[Metric, NDArray[np.float64]],
) -> None:
    """Adds what the order within users is like: a quotient of sums over users each, so a resample is two products."""
    codes = np.unique(users, return_inverse=True)[1].reshape(-1).astype(np.int64)
    won, pairs = pair_auc(label, scores, codes)
    parts: dict[Metric, tuple[NDArray[np.float64], NDArray[np.float64]]] = {"user_auc": (won, pairs)}
    for name, of_users in (("ndcg", ndcg(label, scores, codes)), ("recall", recall(label, scores, codes))):
        parts[cast(Metric, name)] = np.nan_to_num(of_users), (~np.isnan(of_users)).astype(np.float64)
    for metric, (part, whole) in parts.items():
        metrics[metric], sample = _quotients(part, whole, drawn)
        if sample is not None:
            resampled[metric] = sample


def within_users(
    label: NDArray[np.float32], scores: NDArray[np.float32], users: NDArray[np.int64], drawn: Resamples
) -> tuple[float | None, NDArray[np.float64] | None]:
    """AUC over pairs of one user's rows, and on each resample (W,) where these draw users; None for nothing.

    Args:
        label: (N,) 0 or 1.
        scores: (N,).
        users: (N,) codes.
        drawn: the resamples of the rows.
    """
    codes = np.unique(users, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return _quotients(*pair_auc(label, scores, codes), drawn)


def _quotients(
    part: NDArray[np.float64], whole: NDArray[np.float64], drawn: Resamples
) -> tuple[float | None, NDArray[np.float64] | None]:
    """The quotient of sums over users (U,), and on each resample (W,)."""
    if not whole.sum():
        return None, None
    value = float(part.sum() / whole.sum())
    if drawn.drawn != "users":
        return value, None
    counts = drawn.counts.astype(np.float64)
    total = counts @ whole
    return value, np.divide(counts @ part, total, out=np.full(len(total), np.nan), where=total > 0)
