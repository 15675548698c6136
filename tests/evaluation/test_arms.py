from __future__ import annotations

import pytest

from llactr.evaluation.arms import (
    ARMS,
    base,
    control_of,
    has_fields,
    has_values,
    is_cold,
    is_tuned,
    placebos_of,
    role,
    treatments,
)


def test_every_treatment_has_placebos_and_every_placebo_a_treatment():
    found = {arm: placebos_of(arm) for arm in treatments(ARMS)}
    for arm, placebos in found.items():
        assert {f"{arm} permuted", f"{arm} random"} <= set(placebos)
    named = {placebo for placebos in found.values() for placebo in placebos}
    assert named | set(found) | {"plain", "plain cold"} == set(ARMS)
    assert found["values untuned"] == ("values words", "values untuned permuted", "values untuned random")


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("plain", ("plain", "plain", False, False, False)),
        ("plain cold", ("plain cold", "plain", False, False, False)),
        ("fre random", ("fre", "random", True, False, False)),
        ("paper permuted", ("paper", "permuted", True, False, False)),
        ("values", ("values", "treatment", False, True, True)),
        ("values words", ("values", "words", False, True, False)),
        ("values untuned permuted", ("values untuned", "permuted", False, True, False)),
        ("values cold permuted", ("values cold", "permuted", False, True, True)),
        ("both", ("both", "treatment", True, True, True)),
        ("both words", ("both", "words", True, True, False)),
    ],
)
def test_what_an_arm_is(arm, expected):
    assert (base(arm), role(arm), has_fields(arm), has_values(arm), is_tuned(arm)) == expected


def test_cold_arms_are_compared_with_cold_plain():
    assert {control_of(arm) for arm in ARMS if is_cold(arm)} == {"plain cold"}
    assert {control_of(arm) for arm in ARMS if not is_cold(arm)} == {"plain"}
