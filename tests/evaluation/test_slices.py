from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from llactr.ctr import auc, logloss
from llactr.ctr.metrics import calibration_error
from llactr.evaluation.ranking import ndcg, pair_auc, recall
from llactr.evaluation.resampling import Resamples
from llactr.evaluation.slices import (
    SLICES,
    carriers,
    row_slices,
    slice_metrics,
    trusted,
    weighted_auc,
    within_users,
)
from llactr.transforms import Transform
from tests.specs import field, spec_of


def test_slices_follow_training_counts() -> None:
    spec = spec_of(field("person", "user"), field("film", "item"))
    films = ["often"] * 20 + ["some"] * 5 + ["few"] * 3
    transform = Transform.fit(spec, pa.table({"person": ["p"] * 28, "film": films}))
    rows = pa.table({"person": ["p", "p", "p", "p", "new"], "film": ["often", "some", "few", "none", "none"]})
    found = row_slices(spec, transform, transform.ids(rows))
    assert tuple(found) == SLICES
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "all": [0, 1, 2, 3, 4],
        "unseen items": [3, 4],
        "rare items, n<=3": [2],
        "rare items, n<=10": [1, 2],
        "unseen users": [4],
        "warm": [0, 1, 2],
    }


@pytest.mark.parametrize("digits", [1, 7])  # with ties, and without
def test_weighted_metrics_are_those_of_repeated_rows(digits: int) -> None:
    rng = np.random.default_rng(2)
    label = (rng.random(60) < 0.4).astype(np.float32)
    score = np.round(rng.random(60), digits).astype(np.float32)
    assert (len(np.unique(score)) == 60) == (digits == 7)
    weights = np.stack([np.ones(60), rng.integers(0, 4, 60)]).astype(np.float64)
    found = weighted_auc(label, score, weights)
    repeated = np.repeat(np.arange(60), weights[1].astype(int))
    assert found[0] == pytest.approx(auc(label, score), abs=1e-12)
    assert found[1] == pytest.approx(auc(label[repeated], score[repeated]), abs=1e-12)
    nothing = np.zeros((1, 60))
    assert np.isnan(weighted_auc(label, score, nothing)[0])


def test_metrics_of_a_slice_are_those_of_its_rows() -> None:
    rng = np.random.default_rng(5)
    label = np.array([0, 1] * 20, np.float32)
    score = rng.random(40).astype(np.float32)
    slices = {
        "all": np.ones(40, np.bool_), "even": np.arange(40) % 2 == 0, "first": np.arange(40) < 10,
        "nothing": np.zeros(40, np.bool_),
    }  # fmt: skip
    weights = np.stack([np.ones(40), rng.integers(0, 3, 40)]).astype(np.uint8)
    drawn = Resamples(np.arange(40), np.vstack([weights, np.zeros((1, 40), np.uint8)]), "rows")
    metrics, resampled = slice_metrics(label, score, slices, drawn)
    assert metrics["all"]["auc"] == pytest.approx(auc(label, score))
    assert metrics["first"]["logloss"] == pytest.approx(logloss(label[:10], score[:10]))
    assert metrics["first"]["ece"] == pytest.approx(calibration_error(label[:10], score[:10]))
    assert metrics["even"]["auc"] is None, "it has no clicks"
    assert metrics["even"]["ece"] == pytest.approx(score[::2].mean(), abs=1e-6)
    assert metrics["nothing"] == {"auc": None, "logloss": None, "ece": None}
    assert set(resampled) == {"all", "first"}, "the others have no AUC to resample"
    for name, rows in (("all", slice(40)), ("first", slice(10))):
        for values in resampled[name].values():
            assert values.shape == (3,)
            assert np.isnan(values[2]), "a resample that holds no row of the slice"
        again = np.repeat(np.arange(40)[rows], weights[1][rows].astype(int))
        assert resampled[name]["auc"][0] == pytest.approx(metrics[name]["auc"])
        kinds = len(np.unique(label[again]))
        expected = auc(label[again], score[again]) if kinds == 2 else np.nan
        assert resampled[name]["auc"][1] == pytest.approx(expected, nan_ok=True)
        assert resampled[name]["logloss"][1] == pytest.approx(logloss(label[again], score[again]), abs=1e-12)


def test_the_order_within_users_is_measured_and_drawn_by_users() -> None:
    rng = np.random.default_rng(8)
    users = np.repeat(np.arange(20) * 7, 12)
    label = (rng.random(240) < 0.4).astype(np.float32)
    score = rng.random(240).astype(np.float32)
    everything = {"all": np.ones(240, np.bool_), "first": np.arange(240) < 120}
    drawn = Resamples.of(240, 30, users=users)
    metrics, resampled = slice_metrics(label, score, everything, drawn, users)
    won, pairs = pair_auc(label, score, users // 7)
    assert metrics["all"]["user_auc"] == pytest.approx(won.sum() / pairs.sum())
    assert metrics["all"]["ndcg"] == pytest.approx(np.nanmean(ndcg(label, score, users // 7)))
    assert metrics["all"]["recall"] == pytest.approx(np.nanmean(recall(label, score, users // 7)))
    assert set(metrics["first"]) == {"auc", "logloss", "ece"}, "a part of a user's rows is no list of the user's"
    one = drawn.counts[3]
    again = np.repeat(np.arange(20), one)
    assert resampled["all"]["user_auc"][3] == pytest.approx(won[again].sum() / pairs[again].sum())
    assert resampled["all"]["ndcg"][3] == pytest.approx(np.nanmean(ndcg(label, score, users // 7)[again]))
    assert set(resampled["all"]) == {"auc", "logloss", "user_auc", "ndcg", "recall"}
    again, sample = within_users(label, score, users, drawn)
    assert again == metrics["all"]["user_auc"]
    assert sample is not None
    np.testing.assert_array_equal(sample, resampled["all"]["user_auc"])
    assert within_users(label, score, users, Resamples.of(240, 3)) == (again, None), "rows are drawn, not users"
    assert within_users(np.ones(240, np.float32), score, users, drawn) == (None, None)


def test_users_who_cannot_be_ranked_for_have_no_figures() -> None:
    label, score = np.array([1, 0] * 10, np.float32), np.random.default_rng(1).random(20).astype(np.float32)
    everything = {"all": np.ones(20, np.bool_)}
    metrics, resampled = slice_metrics(label, score, everything, Resamples.of(20, 3), np.arange(20))
    assert metrics["all"]["user_auc"] is None
    assert metrics["all"]["ndcg"] is None
    assert set(resampled["all"]) == {"auc", "logloss"}


def test_a_bootstrap_is_carried_by_those_who_click_and_those_who_do_not() -> None:
    users = np.repeat(np.arange(12), 12)
    label = np.zeros(144, np.float32)
    label[[0, 1, 12, 24]] = 1  # users 0 (twice), 1 and 2
    label[36:48] = 1  # user 3, always
    slices = {"all": np.ones(144, np.bool_), "some": np.arange(144) < 24}
    drawn = Resamples.of(144, 2, users=users)
    found = carriers(label, slices, drawn, users)
    assert found["all"] == {"auc": 4, "logloss": 4, "user_auc": 3, "ndcg": 3, "moment_auc": 3, "recall": 3}
    assert found["some"] == {"auc": 2, "logloss": 2}, "users 0 and 1"
    short = np.repeat(np.arange(14), 10)  # lists of ten have no recall at 10
    assert carriers(label[:140], {"all": slices["all"][:140]}, drawn_of(short), short)["all"]["recall"] == 0
    rows = carriers(1 - label, slices, Resamples.of(144, 2))
    one = np.zeros(2)
    kept = trusted(
        {"all": {"auc": one, "recall": one}, "some": {"auc": one}},
        {"all": {"auc": 10, "recall": 9}, "some": {"auc": 0}},
    )
    assert {name: list(by) for name, by in kept.items()} == {"all": ["auc"], "some": []}
    assert rows["all"] == {"auc": 16, "logloss": 16}, "the rarer side of rows, clicks or not"


def drawn_of(users: np.ndarray) -> Resamples:
    return Resamples.of(len(users), 2, users=users)
