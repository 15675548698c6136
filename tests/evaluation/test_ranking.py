from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from llactr.errors import DataError
from llactr.evaluation.ranking import RankingRows, ndcg, pair_auc, recall, requests_of, weighted_auc

MINUTE = 60_000_000


def rows(seed: int, count: int = 60):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count).astype(np.float32)
    score = rng.integers(0, 6, count).astype(np.float32) / 8  # many ties
    return label, score, rng.integers(0, 5, count)


def slow_pairs(label, score, group, g):
    won, pairs = 0.0, 0
    for a, b in itertools.product(range(len(label)), repeat=2):
        if group[a] == group[b] == g and label[a] == 1 and label[b] == 0:
            pairs += 1
            won += 1.0 if score[a] > score[b] else 0.5 if score[a] == score[b] else 0.0
    return won, pairs


@pytest.mark.parametrize("seed", range(4))
def test_pairs_within_groups_equal_counting_them_one_by_one(seed: int) -> None:
    label, score, group = rows(seed)
    won, pairs = pair_auc(label, score, group)
    for g in range(5):
        assert (won[g], pairs[g]) == slow_pairs(label, score, group, g)


def test_a_level_of_a_user_moves_no_pair_within_users() -> None:
    label, score, group = rows(7)
    shifted = score + np.array([0, 3, -2, 5, 1], np.float32)[group]
    for plain, moved in zip(pair_auc(label, score, group), pair_auc(label, shifted, group), strict=True):
        np.testing.assert_array_equal(plain, moved)


def test_ndcg_by_hand() -> None:
    label = np.array([1, 0, 1, 0, 1, 1], np.float32)
    score = np.array([0.1, 0.9, 0.5, 0.2, 0.7, 0.3], np.float32)
    group = np.array([0, 0, 0, 0, 1, 1])
    # Group 0 in the order of scores: 0 1 0 1, the best order 1 1 0 0; group 1 has clicks only.
    expected = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    found = ndcg(label, score, group)
    assert found[0] == pytest.approx(expected)
    assert np.isnan(found[1])


def test_ndcg_cuts_at_its_top_and_shares_ties() -> None:
    label = np.array([0, 1, 0], np.float32)
    group = np.zeros(3, np.int64)
    assert ndcg(label, np.array([3, 2, 1], np.float32), group, top=1)[0] == 0
    tied = ndcg(label, np.array([1, 1, 0], np.float32), group)[0]
    assert tied == pytest.approx((1 + 1 / math.log2(3)) / 2)


def test_weighted_auc_equals_repeating_rows() -> None:
    label, score, _ = rows(3)
    weight = np.random.default_rng(1).integers(0, 3, len(label))
    label_again, score_again = np.repeat(label, weight), np.repeat(score, weight)
    won, pairs = slow_pairs(label_again, score_again, np.zeros(len(label_again)), 0)
    assert weighted_auc(label, score, weight.astype(np.float64)) == pytest.approx(won / pairs)


def test_requests_are_minutes_of_one_user() -> None:
    found = requests_of(np.array([0, 0, 0, 1]), np.array([0, MINUTE - 1, MINUTE, 0]))
    assert found[0] == found[1]
    assert len({found[0], found[2], found[3]}) == 3


def test_figures_of_rows() -> None:
    label, score, user = rows(5)
    time = np.random.default_rng(2).integers(0, 3 * MINUTE, len(label))
    found = RankingRows(label, user, time, draws=2).measure(score)
    won, pairs = (sum(parts) for parts in zip(*(slow_pairs(label, score, user, g) for g in range(5)), strict=True))
    assert found.user_auc == pytest.approx(won / pairs)
    keys = [(int(u), int(t // MINUTE)) for u, t in zip(user, time, strict=True)]
    codes = [sorted(set(keys)).index(key) for key in keys]
    won, pairs = (sum(parts) for parts in zip(*(slow_pairs(label, score, codes, g) for g in set(codes)), strict=True))
    assert found.request_auc == pytest.approx(won / pairs)
    assert found.auc == pytest.approx(np.divide(*slow_pairs(label, score, np.zeros(len(label)), 0)))


def test_intervals_resample_users_and_pair_both_scores() -> None:
    label, score, user = rows(6, 200)
    time = np.arange(200) * MINUTE // 40
    judged = RankingRows(label, user, time, draws=200)
    same = judged.difference(score, score)
    assert same["auc"] == (0, 0, 0)
    better = judged.difference(label, score)
    for low_value in (better["auc"], better["user_auc"]):
        whole, low, high = low_value
        assert low <= whole <= high
        assert low > 0


def test_rows_without_a_pair_have_no_figure() -> None:
    ones = np.ones(3, np.float32)
    found = RankingRows(ones, np.arange(3), np.arange(3), draws=1).measure(ones)
    assert (found.auc, found.user_auc, found.request_auc, found.ndcg) == (None, None, None, None)


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="equally long"):
        RankingRows(np.ones(3, np.float32), np.arange(2), np.arange(3))


def test_recall_by_hand() -> None:
    label = np.array([1, 0, 0, 1, 0, 0, 1], np.float32)
    score = np.array([9, 8, 7, 6, 5, 4, 3], np.float32)
    group = np.array([0, 0, 0, 0, 0, 1, 1])
    found = recall(label, score, group, top=2)
    assert found[0] == pytest.approx(1 / 2), "one of two clicks is among the first two"
    assert np.isnan(found[1]), "two rows, the first two are all"
    tied = recall(label[:5], np.array([9, 7, 7, 7, 5], np.float32), group[:5], top=2)
    assert tied[0] == pytest.approx((1 + 1 / 3) / 2), "three rows share the second place"
    assert np.isnan(recall(np.ones(3, np.float32), np.arange(3).astype(np.float32), np.zeros(3, int), top=1)[0])


def test_on_noise_a_persons_own_past_ranks_their_rows_all_the_same() -> None:
    """Why AUC within users is taken as of one moment as well: a rate falls after each row that was no click.

    Of a person's later rows those that come after non-clicks have the lower rate, and are the ones with more clicks left.
    """
    rng = np.random.default_rng(0)
    label = (rng.random((500, 50)) < 0.3).astype(np.float32)
    rate = (np.cumsum(label, axis=1) - label + 2) / (np.arange(50) + 6)  # of the rows before
    shown, level = label[:, 45:].reshape(-1), rate[:, 45:].reshape(-1).astype(np.float32)
    users = np.repeat(np.arange(500), 5)
    won, pairs = pair_auc(shown, -level, users)
    assert won.sum() / pairs.sum() > 0.8
    won, pairs = pair_auc(shown, np.repeat(rate[:, 45], 5).astype(np.float32), users)
    assert won.sum() / pairs.sum() == 0.5, "the level of one moment ranks nothing"
