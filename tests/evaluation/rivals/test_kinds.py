"""Every rival learns what there is to learn, says what it tried, and is refused where its package is missing."""

from __future__ import annotations

import importlib.util
import string
from pathlib import Path

import numpy as np
import pytest

from llactr.ctr import Split
from llactr.ctr.metrics import auc, logloss
from llactr.errors import InputError
from llactr.evaluation.rivals import search
from llactr.evaluation.rivals.base import Rival
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.kinds.vowpalwabbit import _lines, _namespace
from llactr.evaluation.rivals.rows import RivalRows
from llactr.evaluation.rivals.search import check_rivals, kept_facts, kept_scores, search_rival
from llactr.transforms import FIRST, PAD

ROWS = 3000


@pytest.fixture(scope="module")
def rows() -> RivalRows:
    """Clicks whose chance is .9 or .1 by the parity of an item, whatever the user; the best AUC is .9."""
    rng = np.random.default_rng(0)
    item = rng.integers(FIRST, 43, ROWS).astype(np.int32)
    user = rng.integers(FIRST, 103, ROWS).astype(np.int32)
    label = (rng.random(ROWS) < np.where(item % 2, 0.9, 0.1)).astype(np.float32)
    split = Split(np.arange(2000), np.arange(2000, 2500), np.arange(2500, ROWS))
    lists = np.stack([rng.integers(FIRST, 9, ROWS), np.full(ROWS, PAD)], axis=1).astype(np.int32)
    hour = rng.integers(0, 24, ROWS).astype(np.float32)
    return RivalRows(
        label, split, {"item": item, "user": user}, {"hour": hour}, {"tags": lists}, {"item": 43, "user": 103, "tags": 9},
        {"before": np.where(hour > 20, np.nan, hour)},
    )  # fmt: skip


@pytest.mark.parametrize("name", list(RIVALS))
def test_it_learns_and_what_is_kept_is_what_was_measured(name: str, rows: RivalRows, tmp_path: Path) -> None:
    pytest.importorskip(RIVALS[name].package)
    path = tmp_path / "kept.safetensors"
    searched = search_rival(name, rows, path, seed=0, threads=1)
    scores = kept_scores(path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name], "no draft is left"
    assert scores.shape == (500,)
    label = rows.label[rows.split.test]
    assert auc(label, scores) > 0.85
    assert logloss(label, scores) < 0.45, "probabilities: the constant's logloss is .69, the best .33"
    assert kept_facts(path) == searched
    assert [dict(one.settings) for one in searched.tried] == [dict(one) for one in RIVALS[name].search]
    assert searched.chosen.auc == max(one.auc for one in searched.tried)
    assert searched.cpu_s == pytest.approx(sum(one.cpu_s for one in searched.tried))
    assert all(one.rounds >= 1 for one in searched.tried)


@pytest.mark.parametrize("name", ["lightgbm", "vowpalwabbit"])
def test_the_same_seed_gives_the_same_scores_and_test_labels_none(name: str, rows: RivalRows, tmp_path: Path) -> None:
    pytest.importorskip(RIVALS[name].package)
    label = rows.label.copy()
    label[rows.split.test] = 1 - label[rows.split.test]
    turned = RivalRows(label, rows.split, rows.categories, rows.ordered, rows.lists, rows.sizes, rows.measured)
    settings = RIVALS[name].search[0]
    first, second = (
        RIVALS[name]().fit(one, settings, seed=3, threads=1).score(rows.split.test) for one in (rows, turned)
    )
    np.testing.assert_array_equal(first, second)


def test_every_rival_is_one() -> None:
    assert tuple(RIVALS)[:3] == ("lightgbm", "catboost", "vowpalwabbit")
    for _, rival in RIVALS.working():
        assert issubclass(rival, Rival)
        assert len(rival.search) >= 2


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"'catboost' is not installed: run pip install 'llactr\[rivals\]'"):
        check_rivals(["catboost"])

    class Foreign(Rival):
        package = "acme"

    monkeypatch.setattr(search, "RIVALS", {"mine": Foreign})
    with pytest.raises(InputError, match="the rival 'mine' needs the package 'acme'"):
        check_rivals(["mine"])


def test_an_unknown_rival_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match=r"rival 'lightgmb' is not known: .*did you mean 'lightgbm'"):
        RIVALS["lightgmb"]


def test_lines_of_vowpal_wabbit(rows: RivalRows) -> None:
    chosen = np.array([0])
    (line,) = _lines(rows, chosen, labelled=True)
    item, user, tag = rows.categories["item"][0], rows.categories["user"][0], rows.lists["tags"][0, 0]
    hour = rows.ordered["hour"][0]
    known = rows.measured["before"][:2000]
    scaled = (rows.measured["before"][0] - np.nanmean(known)) / np.nanstd(known)
    before = "missing" if np.isnan(scaled) else f"0:{scaled:.4g}"
    head = "1" if rows.label[0] else "-1"
    assert line == f"{head} |a0 {item} |b1 {user} |c2 {tag} |d3 {hour:g} |e4 {before}"
    first = [_namespace(number)[1] for number in range(62)]
    assert sorted(first) == sorted(string.ascii_letters + string.digits), "interactions see the first letter alone"
