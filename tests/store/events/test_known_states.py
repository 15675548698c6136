"""States that a writer has at hand."""

from __future__ import annotations

import pytest

from llactr.errors import StoreError
from llactr.history import KeyState
from llactr.store.events import known_states
from llactr.store.events.known_states import KnownStates
from tests.store.events.events_workspace import definition_of

DEFINITION = definition_of()
USER = DEFINITION.user


def state(*times: int) -> KeyState:
    made = KeyState.empty(DEFINITION, USER)
    for time in times:
        made = made.add(7, time, 0.5)
    return made


def test_the_bytes_that_were_kept_are_not_decoded_again_and_others_are() -> None:
    known, one, other = KnownStates(), state(1, 2), state(1, 2, 3)
    known.put("k", one.to_bytes(), one)
    assert known.decoded(DEFINITION, USER, "k", bytes(bytearray(one.to_bytes()))) is one
    found = known.decoded(DEFINITION, USER, "k", other.to_bytes())  # another process wrote
    assert (found.to_bytes(), found.newest) == (other.to_bytes(), 3)
    assert known.decoded(DEFINITION, USER, "k", other.to_bytes()) is found
    assert known.decoded(DEFINITION, USER, "k", None).newest == state().newest


def test_a_state_of_another_definition_is_decoded_anew() -> None:
    known, one, same = KnownStates(), state(1), definition_of()
    known.put("k", one.to_bytes(), one)
    found = known.decoded(same, same.user, "k", one.to_bytes())
    assert found.definition is same
    assert found.to_bytes() == one.to_bytes()


def test_bytes_that_are_no_state_are_refused_whatever_is_kept() -> None:
    known, one = KnownStates(), state(1)
    known.put("k", one.to_bytes(), one)
    with pytest.raises(StoreError, match="cut off"):
        known.decoded(DEFINITION, USER, "k", one.to_bytes()[:-1])


def test_memory_is_bounded_and_the_oldest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_states, "_MOST_BYTES", 5000)
    known, one = KnownStates(), state(1)
    for key in range(20):
        known.put(key, one.to_bytes(), one)
        known.put(key, one.to_bytes(), one)  # the same once more takes no more
        assert known.size_bytes <= 5000
    each = len(one.to_bytes()) + USER.record.itemsize + 500
    assert (len(known), known.size_bytes) == (5000 // each, 5000 // each * each)
    assert known.decoded(DEFINITION, USER, 19, one.to_bytes()) is one
    assert known.decoded(DEFINITION, USER, 0, one.to_bytes()) is not one
