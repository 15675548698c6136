from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from llactr.ctr.history_arms import HISTORY_ARMS
from llactr.errors import InputError
from llactr.evaluation.arms import PLAIN, Arm, known_arms, treatments
from llactr.evaluation.placebos import PLACEBOS, Placebo

LISTED = (
    "plain", "fre", "fre permuted", "fre random", "fie", "fie permuted", "fie random", "paper", "paper permuted",
    "paper random", "values", "values permuted", "values random", "values words", "values untuned",
    "values untuned permuted", "values untuned random", "both", "both permuted", "both random", "both words",
    "items", "history", "history taste", "history taste permuted", "history taste random", "history taste words",
)  # fmt: skip


def test_the_arms_that_commands_name_in_their_order():
    assert tuple(map(str, known_arms())) == LISTED
    assert [Arm.parse(name) for name in LISTED] == list(known_arms())


def test_every_treatment_has_placebos_and_every_placebo_a_treatment():
    arms = known_arms()
    found = {str(arm): tuple(map(str, arm.placebos)) for arm in treatments(arms)}
    assert found.pop("items") == found.pop("history") == (), "without vectors there is no meaning to take out"
    for arm, placebos in found.items():
        assert {f"{arm} permuted", f"{arm} random"} <= set(placebos)
    named = {placebo for placebos in found.values() for placebo in placebos}
    assert named | set(found) | {"plain", "items", "history"} == set(map(str, arms))
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
                for past in (None, *HISTORY_ARMS.values()):
                    plain = Arm(fre, fie, values, past)
                    found += [plain, *plain.placebos]
    return list(dict.fromkeys(found))  # one that reads texts is that of encoded and untuned vectors


@settings(deadline=None)
@given(st.sampled_from(_all_arms()))
def test_an_arm_is_read_as_it_is_written(arm):
    assert Arm.parse(str(arm)) == arm


WORDS = ("plain", "fre", "fie", "paper", "values", "untuned", "both", "items", "history", "taste", "text", *PLACEBOS)


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=5))
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
        (
            "golden",
            "arm 'golden' is not known: choose plain, fre, fie, paper, values, values untuned, both, items, history, ",
        ),
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
        ("history values", "did you mean 'values history'\\?"),
        ("taste", "arm 'taste' is not known"),
        ("history permuted", "arm 'history permuted' is 'history': there is nothing that its placebo acts on"),
        ("items taste categories words", "there is nothing that its placebo acts on"),
    ],
)
def test_a_name_of_no_arm_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        Arm.parse(name)


@pytest.mark.parametrize(
    ("arm", "meaning", "placebos", "without"),
    [
        ("items", False, (), "items"),
        ("items taste item-item", False, (), "items"),
        ("values items", True, ("permuted", "random", "words"), "values items"),
        ("history taste", True, ("permuted", "random", "words"), "history"),
        ("paper history taste categories", True, ("permuted", "random"), "paper history"),
        ("history taste text", True, ("permuted", "random", "words"), "history"),
    ],
)
def test_what_an_arm_reads_of_the_past(arm, meaning, placebos, without):
    found = Arm.parse(arm)
    assert (found.is_treatment, found.role, found.has_meaning) == (True, "treatment", meaning)
    assert tuple(map(str, found.placebos)) == tuple(f"{arm} {name}" for name in placebos)
    assert str(found.without_taste) == without
    assert found.history is HISTORY_ARMS[arm.removeprefix("values ").removeprefix("paper ")]


def test_a_rival_is_an_arm_by_its_name():
    arm = Arm.parse("lightgbm")
    assert (arm, str(arm), arm.role, arm.file_name) == (Arm(rival="lightgbm"), "lightgbm", "rival", "lightgbm")
    assert (arm.is_treatment, arm.has_fields, arm.has_values) == (False, False, False)
    assert arm.placebos == ()
    several = sorted(map(Arm.parse, ("catboost", "both words", "lightgbm", "plain")), key=Arm.place)
    assert list(map(str, several)) == ["plain", "both words", "lightgbm", "catboost"]
    assert "lightgbm" not in map(str, known_arms())
    past = Arm.parse("lightgbm history taste")
    assert (past.rival, str(past.history), past.role, past.is_treatment) == (
        "lightgbm",
        "history taste",
        "rival",
        False,
    )
    assert (str(past), past.placebos, past.file_name) == ("lightgbm history taste", (), "lightgbm_history_taste")
    assert sorted([past, Arm.parse("catboost"), arm], key=Arm.place) == [arm, past, Arm.parse("catboost")]
    with pytest.raises(InputError, match="'history lightgbm' is not known"):
        Arm.parse("history lightgbm")
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
