"""What a model of an arm is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from llactr.ctr import EnhancementConfig
from llactr.evaluation.arms import Arm
from llactr.evaluation.draws import Draw
from llactr.evaluation.placebos import permuted_fields, permuted_values, random_fields
from llactr.evaluation.treatments import arm_enhancement, arm_training_set, arm_values
from llactr.semantics import FieldValueVectors, FieldVectors, ValueVectors

SETTINGS = EnhancementConfig(lambda_fre=0.3)
TEXTS = {"title": {"a": "red car", "b": "red bus", "c": "car"}}


def fields(version: str) -> FieldVectors:
    names = ("age", "hour", "title")
    return FieldVectors("films", version, "e", names, names, np.eye(3, 8, dtype=np.float32))


def values(version: str) -> ValueVectors:
    one = FieldValueVectors(("a", "b", "c"), np.eye(3, 8, dtype=np.float32))
    return ValueVectors("films", version, "e", {"title": one})


@dataclass(frozen=True)
class Held:
    """What of a training set placebos touch: the vectors of each semantics version."""

    vectors: tuple[FieldVectors, ...] = field(default_factory=lambda: (fields("one"), fields("two")))


TRAINING_SET: Any = Held()
DRAW = Draw(TRAINING_SET, {True: values("tuned"), False: values("published")}, TEXTS)


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("plain", None), ("values", None), ("values permuted", None),
        ("fre", (True, False)), ("fie random", (False, True)), ("paper", (True, True)), ("both words", (True, True)),
    ],
)  # fmt: skip
def test_how_field_vectors_act_in_an_arm(arm, expected):
    found = arm_enhancement(Arm.parse(arm), SETTINGS)
    assert (found and (found.fre, found.fie)) == expected
    assert found is None or found.lambda_fre == 0.3


def test_paper_keeps_what_its_settings_switch_off():
    off = EnhancementConfig(fie=False)
    assert arm_enhancement(Arm.parse("paper"), off) == off


@pytest.mark.parametrize(
    ("arm", "version"),
    [("values", "tuned"), ("both", "tuned"), ("values untuned", "published"), ("both untuned", "published")],
)
def test_tuned_and_untuned_value_vectors(arm, version):
    found = arm_values(Arm.parse(arm), 0, DRAW)
    assert found is DRAW.values[version == "tuned"]


@pytest.mark.parametrize("arm", ["plain", "paper", "paper permuted"])
def test_arms_without_value_vectors(arm):
    assert arm_values(Arm.parse(arm), 0, DRAW) is None


def test_placebos_of_value_vectors_are_drawn_by_the_seed_from_their_arms_own():
    for arm, tuned in (("values permuted", True), ("values untuned permuted", False), ("both permuted", True)):
        found = arm_values(Arm.parse(arm), 5, DRAW)
        assert found is not None
        assert found.version == permuted_values(DRAW.values[tuned], 5, TEXTS).version
    words = arm_values(Arm.parse("both words"), 5, DRAW)
    assert words is not None
    assert "bag of words" in words.encoder
    # red (2) and car (2) in the order of letters: car, red; bus occurs once.
    half = 2**-0.5
    np.testing.assert_allclose(words.fields["title"].vectors, [[half, half], [0, 1], [1, 0]], atol=1e-6)


def test_placebos_of_field_vectors_take_every_versions_place():
    permuted = arm_training_set(Arm.parse("both permuted"), 2, TRAINING_SET)
    assert [one.version for one in permuted.vectors] == [
        permuted_fields(fields("one"), 2).version, permuted_fields(fields("two"), 2).version,
    ]  # fmt: skip
    random = arm_training_set(Arm.parse("fre random"), 2, TRAINING_SET)
    assert random.vectors[0].version == random_fields(fields("one"), 2).version


@pytest.mark.parametrize("arm", ["plain", "paper", "both", "values permuted", "both words"])
def test_arms_that_keep_the_field_vectors_there_are(arm):
    """A bag of words takes the place of value vectors alone."""
    assert arm_training_set(Arm.parse(arm), 2, TRAINING_SET) is TRAINING_SET
