"""Which arms a dataset can be served with: by its entities, its texts and how much of a past there is."""

from __future__ import annotations

from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.offer import Offer, offered
from tests.specs import field, spec_of

PAPER, VALUES = Arm.parse("paper"), Arm.parse("values")


def test_what_is_offered_follows_from_what_there_is() -> None:
    spec = spec_of(field("person", "user"), field("film", "item"))
    assert offered(Offer(spec, values_encoded=False)) == (PLAIN, PAPER)
    assert offered(Offer(spec, values_encoded=True)) == (PLAIN, PAPER, VALUES)


def test_the_past_is_offered_where_there_is_enough_of_it() -> None:
    spec = spec_of(field("person", "user"), field("film", "item"))

    def arms(**past: float) -> list[str]:
        return [str(arm) for arm in offered(Offer(spec, False, past))]

    assert arms(user=5, item=20) == ["plain", "paper", "items", "history", "history taste"]
    assert arms(user=4.5, item=300) == ["plain", "paper", "items"], "what became of items needs no person's past"
    assert arms(user=50, item=3) == ["plain", "paper", "items", "history", "history taste"], (
        "validation says what it is worth"
    )
    assert arms(user=0, item=0) == ["plain", "paper", "items"]
    assert Offer(spec, False, {"user": 5, "item": 20}).left_out == ""
    assert Offer(spec, False).left_out == "", "without users or items there is nothing to leave out"
    assert Offer(spec, False, {"user": 4, "item": 30}).left_out == (
        "a person's past is not offered, as half of the validation rows have fewer than 5 earlier events of their "
        "user (median 4)"
    )
    assert Offer(spec, False, {"user": 50, "item": 2.5}).left_out == "", "few events of items leave nothing out"
