from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from llactr.errors import InputError
from llactr.evaluation.arms import PLAIN, Arm, known_arms, treatments
from llactr.evaluation.placebos import PLACEBOS, Placebo

LISTED = (
    "plain", "fre", "fre permuted", "fre random", "fie", "fie permuted", "fie random", "paper", "paper permuted",
    "paper random", "values", "values permuted", "values random", "values words", "values untuned",
    "values untuned permuted", "values untuned random", "both", "both permuted", "both random", "both words",
)  # fmt: skip


def test_the_arms_that_commands_name_in_their_order():
    assert tuple(map(str, known_arms())) == LISTED
    assert [Arm.parse(name) for name in LISTED] == list(known_arms())


def test_every_treatment_has_placebos_and_every_placebo_a_treatment():
    arms = known_arms()
    found = {str(arm): tuple(map(str, arm.placebos)) for arm in treatments(arms)}
    for arm, placebos in found.items():
        assert {f"{arm} permuted", f"{arm} random"} <= set(placebos)
    named = {placebo for placebos in found.values() for placebo in placebos}
    assert named | set(found) | {"plain"} == set(map(str, arms))
    assert found["values untuned"] == ("values words", "values untuned permuted", "values untuned random")
    assert PLAIN.placebos == ()
    assert Arm.parse("both words").placebos == (), "a placebo has none of its own"


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("plain", ("plain", "plain", False, False, False)),
        ("fre random", ("fre", "random", True, False, False)),
        ("paper permuted", ("paper", "permuted", True, False, False)),
        ("values", ("values", "treatment", False, True, True)),
        ("values words", ("values", "words", False, True, False)),
        ("values untuned permuted", ("values untuned", "permuted", False, True, False)),
        ("both", ("both", "treatment", True, True, True)),
        ("both words", ("both", "words", True, True, False)),
    ],
)
def test_what_an_arm_is(arm, expected):
    found = Arm.parse(arm)
    assert (str(found.treatment), found.role, found.has_fields, found.has_values, found.as_encoded) == expected


def test_what_the_words_stand_for():
    permuted = PLACEBOS["permuted"]
    assert Arm.parse("paper") == Arm(fre=True, fie=True)
    assert Arm.parse("fie permuted") == Arm(fie=True, placebo=permuted)
    assert Arm.parse("values untuned permuted") == Arm(values="untuned", placebo=permuted)
    assert Arm.parse("both untuned") == Arm(fre=True, fie=True, values="untuned")
    assert Arm.parse("fre values") == Arm(fre=True, values="encoded")
    assert Arm.parse("values untuned permuted").file_name == "values_untuned_permuted"


def _all_arms() -> list[Arm]:
    found = []
    for fre in (False, True):
        for fie in (False, True):
            for values in (None, "encoded", "untuned"):
                plain = Arm(fre, fie, values)
                found += [plain, *plain.placebos]
    return found


@given(st.sampled_from(_all_arms()))
def test_an_arm_is_read_as_it_is_written(arm):
    assert Arm.parse(str(arm)) == arm


@given(st.lists(st.sampled_from(["plain", "fre", "fie", "paper", "values", "untuned", "both", *PLACEBOS]), max_size=5))
def test_a_name_is_an_arms_own_or_refused(words):
    """No two names mean one arm: kept runs and results are found by name."""
    name = " ".join(words)
    try:
        arm = Arm.parse(name)
    except InputError:
        return
    assert str(arm) == name


def test_no_two_arms_have_one_name_or_one_place():
    arms = set(_all_arms())
    assert len(set(map(str, arms))) == len({arm.place() for arm in arms}) == len(arms)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("golden", "arm 'golden' is not known: choose plain, fre, fie, paper, values, values untuned, both, or one"),
        ("value permuted", "placebo after it: permuted, random, words; did you mean 'values permuted'\\?"),
        ("permuted values", "did you mean 'values permuted'\\?"),
        ("values  permuted", "did you mean 'values permuted'\\?"),
        ("fre fie", "did you mean 'paper'\\?"),
        ("untuned", "did you mean 'values untuned'\\?"),
        ("", "did you mean 'plain'\\?"),
        ("plain permuted", "arm 'plain permuted' is 'plain': there is nothing that its placebo acts on"),
        ("paper words", "arm 'paper words' is 'paper': there is nothing that its placebo acts on"),
        ("values untuned words", "has no encoder that could be tuned or not: say 'values words'"),
        ("values cold", "arm 'values cold' is not known"),
    ],
)
def test_a_name_of_no_arm_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        Arm.parse(name)


def test_a_rival_is_an_arm_by_its_name():
    arm = Arm.parse("lightgbm")
    assert (arm, str(arm), arm.role, arm.file_name) == (Arm(rival="lightgbm"), "lightgbm", "rival", "lightgbm")
    assert (arm.is_treatment, arm.has_fields, arm.has_values) == (False, False, False)
    assert arm.placebos == ()
    several = sorted(map(Arm.parse, ("catboost", "both words", "lightgbm", "plain")), key=Arm.place)
    assert list(map(str, several)) == ["plain", "both words", "lightgbm", "catboost"]
    assert "lightgbm" not in map(str, known_arms())
    with pytest.raises(InputError, match=r"did you mean 'lightgbm'\? Rivals are lightgbm, catboost, vowpalwabbit"):
        Arm.parse("lightgb")
    with pytest.raises(InputError, match="'values lightgbm' is not known"):
        Arm.parse("values lightgbm")
    with pytest.raises(InputError, match="the rival 'catboost' takes no vectors and no placebo"):
        Arm(rival="catboost", fre=True)


def test_a_placebo_must_be_registered():
    mine = Placebo("mine", "vectors of my own", fields=lambda vectors, _: vectors)
    with pytest.raises(InputError, match="placebo 'mine' is not registered: choose one of permuted, random, words"):
        Arm(fre=True, placebo=mine)


class Held(BaseModel):
    arm: Arm
    others: dict[str, Arm | None] = {}


def test_models_hold_arms_by_their_names():
    held = Held.model_validate_json('{"arm": "both words", "others": {"a": "plain", "b": null}}')
    assert held.arm == Arm(fre=True, fie=True, values="encoded", placebo=PLACEBOS["words"])
    assert json.loads(held.model_dump_json()) == {"arm": "both words", "others": {"a": "plain", "b": None}}
    assert held.model_dump()["arm"] == "both words"
    assert Held(arm=held.arm).arm is held.arm
    for wrong in ("golden", 3, None):
        with pytest.raises(ValueError, match="arm"):
            Held.model_validate({"arm": wrong})
