from __future__ import annotations

import numpy as np
import pytest

from llactr.errors import DataError
from llactr.semantics.tuning.value_split import split_values

SIZES = {"train_per_field": 10, "validation_per_field": 4, "held_out_per_field": 5}


def test_parts_are_disjoint_and_sized(toy_values: dict[str, tuple[str, ...]]):
    split = split_values(toy_values, **SIZES, seed=0)
    parts = [set(part.texts) for part in (split.train, split.validation, split.held_out)]
    assert [len(part) for part in parts] == [len(split.train), len(split.validation), len(split.held_out)]
    assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
    # title (20, drawn first): a fifth and a tenth. hour (24): 5 is the most, round(2.4). age: what hour left over.
    assert np.bincount(split.held_out.drawn_for, minlength=3).tolist() == [5, 5, 4]
    assert np.bincount(split.validation.drawn_for, minlength=3).tolist() == [4, 2, 2]
    assert np.bincount(split.train.drawn_for, minlength=3).tolist() == [10, 10, 10]


def test_a_value_is_a_positive_of_every_field_that_has_it(toy_values: dict[str, tuple[str, ...]]):
    split = split_values(toy_values, train_per_field=100, validation_per_field=0, held_out_per_field=0, seed=0)
    for text, row in zip(split.train.texts, split.train.positives, strict=True):
        assert row.tolist() == [text in values for values in toy_values.values()]
    assert split.train.positives[split.train.texts.index("7")].tolist() == [True, True, False]
    assert set(split.train.texts) == {value for values in toy_values.values() for value in values}


def test_the_draw_follows_seed_and_not_order(toy_values: dict[str, tuple[str, ...]]):
    turned = {name: values[::-1] for name, values in toy_values.items()}
    first, same = split_values(toy_values, **SIZES, seed=3), split_values(turned, **SIZES, seed=3)
    assert first.train.texts == same.train.texts
    assert np.array_equal(first.held_out.positives, same.held_out.positives)
    assert split_values(toy_values, **SIZES, seed=4).train.texts != first.train.texts


def test_a_tiny_field_is_tuned_on_whole():
    split = split_values({"gender": ("F", "M"), "age": tuple(map(str, range(30)))}, **SIZES, seed=0)
    assert {"F", "M"} <= set(split.train.texts)
    assert set(split.held_out.drawn_for.tolist()) == {1}


def test_fields_without_values():
    with pytest.raises(DataError, match=r"of 2 fields only \['age'\] have any: check the spec's columns"):
        split_values({"age": ("1", "2"), "job": ()}, **SIZES, seed=0)
