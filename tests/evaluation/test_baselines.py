from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llactr.ctr import CTRData, Split
from llactr.evaluation.baselines import baseline_scores, baselines_of
from llactr.transforms import Transform
from tests.specs import field, spec_of

FILMS = ["a"] * 30 + ["b"] * 10 + ["a", "b", "new"] + ["a", "b"]
LABEL = np.array([1] * 27 + [0] * 3 + [1] + [0] * 9 + [1, 0, 1] + [1, 0], np.float32)


def training_set(spec: Any) -> Any:
    rows = pa.table({"person": ["p"] * 45, "film": FILMS})
    transform = Transform.fit(spec, rows.slice(0, 40))
    split = Split(np.arange(40), np.arange(43, 45), np.arange(40, 43))
    data = CTRData(transform.ids(rows), LABEL, np.zeros(45, np.int32), split)
    return SimpleNamespace(data=data, transform=transform)


def test_a_constant_and_how_popular_the_item_is() -> None:
    spec = spec_of(field("person", "user"), field("film", "item"))
    found = baseline_scores(spec, training_set(spec))
    rate = 28 / 40
    assert found["constant"] == pytest.approx([rate] * 3)
    popular = [(27 + 20 * rate) / 50, (1 + 20 * rate) / 30, rate]
    assert found["popularity"] == pytest.approx(popular), "of a, of b, and of an item that training never saw"


def test_without_items_there_is_no_popularity() -> None:
    spec = spec_of(field("person", "user"), field("film", "item"))
    made = training_set(spec)
    spec = spec.model_copy(update={"entities": {"user": spec.entities["user"]}})
    assert list(baseline_scores(spec, made)) == ["constant"]


def test_figures_are_means_over_draws() -> None:
    draws: Any = [
        {"constant": {"all": {"auc": 0.5, "logloss": 0.6}, "warm": {"auc": None}}},
        {"constant": {"all": {"auc": 0.5, "logloss": 0.8}, "warm": {"auc": 0.5}}},
    ]
    (found,) = baselines_of(draws)
    assert (found.name, found.value(), found.value("logloss")) == ("constant", 0.5, pytest.approx(0.7))
    assert found.value("auc", "warm") is None, "not in every draw"
    assert baselines_of([]) == ()
