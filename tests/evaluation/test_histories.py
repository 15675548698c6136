"""Which pass an arm's numbers come from, what a placebo changes of them, and what is said of arms without meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llactr.errors import InputError
from llactr.evaluation.arms import Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.evaluation.evidence import Difference
from llactr.evaluation.histories import Histories, word_vectors
from llactr.evaluation.placebos import PLACEBOS
from llactr.evaluation.runs import Cell, run_file
from llactr.evaluation.verdict import Verdict, judge
from llactr.semantics import ValueSemanticsConfig
from tests.specs import field, spec_of

NOBODY: Any = None
SPEC = spec_of(field("person", "user"), field("film", "item"))


def histories(delay: float | None = None, **changes: Any) -> Histories:
    return Histories(NOBODY, SPEC.model_copy(update=changes), joined="key", outcome_delay_s=delay)


def test_arms_share_a_pass_where_they_can() -> None:
    given = histories()
    keys = {name: given.key(Arm.parse(name)) for name in ("history", "history taste", "items taste", "values history")}
    assert len(set(keys.values())) == 1
    assert given.key(Arm.parse("plain")) is None
    items, text = (given.key(Arm.parse(name)) for name in ("items", "history taste text"))
    assert items is not None
    assert text is not None
    assert items.section.field_names == ("item_count", "item_rate"), "without a person's states it costs little"
    assert {getattr(one, "vectors", "text") for one in text.section.fields} == {"text"}


def test_a_placebo_that_acts_on_values_alone_needs_no_pass() -> None:
    given = histories()
    assert given.key(Arm.parse("values history words")) == given.key(Arm.parse("values history"))
    permuted, plain = given.key(Arm.parse("history taste permuted")), given.key(Arm.parse("history taste"))
    assert permuted is not None
    assert plain is not None
    assert permuted.placebo is not None
    assert (permuted.section, permuted.placebo.name, plain.placebo) == (plain.section, "permuted", None)


def test_the_delay_of_an_evaluation_takes_the_place_of_the_specs() -> None:
    key = histories(delay=3600.0).key(Arm.parse("history"))
    assert key is not None
    assert key.section.outcome_delay == 3600
    config = EvaluateConfig.model_validate({"outcome_delay": "1d"})
    assert config.outcome_delay == 86400


def test_a_dataset_without_items_has_no_history() -> None:
    given = histories(entities={"user": SPEC.entities["user"]})
    with pytest.raises(InputError, match="history is of users and items, and 'tiny' has no entity 'item'"):
        given.key(Arm.parse("items"))


def test_models_that_read_another_past_are_other_files() -> None:
    cell = Cell(0, "fm", Arm.parse("history"), 0)
    names = {run_file(cell, EvaluateConfig(), ValueSemanticsConfig(), past=past) for past in ("", "one", "two")}
    assert len(names) == 3


@pytest.mark.parametrize(("gap", "verdict"), [(0.02, Verdict.PAST), (-0.02, Verdict.HURTS)])
def test_a_gain_without_vectors_is_not_said_to_lack_a_placebo(gap: float, verdict: Verdict) -> None:
    gain = Difference(
        arm=Arm.parse("items"), baseline=Arm.parse("plain"), slice="all", metric="auc", arm_mean=0.7 + gap,
        baseline_mean=0.7, mean=gap, over_seeds=(gap - 0.001, gap + 0.001), over_draws=None,
        over_rows=(gap - 0.001, gap + 0.001), by_seed=(gap, gap), by_draw=(gap,),
    )  # fmt: skip
    said = judge("fm", gain, None, [])
    assert said.verdict is verdict
    assert ("it reads no vectors" in said.sentence) == (verdict is Verdict.PAST)
    assert np.sign(gap) == (1 if verdict is Verdict.PAST else -1)


def test_a_bag_of_words_of_two_fields_is_in_one_space() -> None:
    """Of a film with a title and genres, the mean was taken of vectors of two widths, and the run broke off."""
    texts = {
        "title": {"a": "red car", "b": "red bus", "c": "blue car"},
        "genres": {"drama": "sad drama", "comedy": "glad comedy", "both": "sad comedy"},
    }
    made = word_vectors(SPEC, PLACEBOS["words"], texts)
    half = 2**-0.5
    # Words of two values or more, by frequency and letters: car, comedy, red, sad.
    expected = {
        "title": [[half, 0, half, 0], [0, 0, 1, 0], [1, 0, 0, 0]],
        "genres": [[0, 0, 0, 1], [0, 1, 0, 0], [0, half, 0, half]],
    }
    for name, rows in expected.items():
        np.testing.assert_allclose(made.fields[name].vectors, rows, atol=1e-6)
    assert made.fields["title"].values == ("a", "b", "c")
