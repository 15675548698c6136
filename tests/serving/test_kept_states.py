"""Kept states of items: bounded, and forgotten when the store says that they changed."""

from __future__ import annotations

import numpy as np
import pytest

from llactr.history.layout import NEVER
from llactr.serving import kept_states
from llactr.serving.kept_states import KeptStates, States
from llactr.store.events.changes import Changes

B = 4


def states(*numbers: int, after: int = int(NEVER), content: bytes | None = None) -> States:
    made = States(len(numbers), B)
    made.records[:] = np.array(numbers, np.uint8)[:, None]
    made.hashes[:] = np.array(numbers, np.uint64) + np.uint64(1000)
    made.after[:] = after
    made.contents[:] = content
    return made


def kept(*, capacity: int = 100, ttl_s: float = 0, changes: Changes | None = None) -> KeptStates:
    made = KeptStates(capacity=capacity, record_bytes=B, ttl_s=ttl_s)
    made.saw(changes)
    return made


def test_what_was_put_is_there_and_the_rest_is_missing() -> None:
    some = kept(changes=Changes.begun())
    some.put(["a", "b"], states(1, 2, after=7, content=b"raw"), [0, 1], read_at_s=5)
    found, missing, age = some.get(["b", "x", "a"], now_s=100)
    assert (missing, age) == ([1], 0.0)
    assert found.records[[0, 2], 0].tolist() == [2, 1]
    assert found.hashes[[0, 2]].tolist() == [1002, 1001]
    assert found.after[[0, 2]].tolist() == [7, 7]
    assert found.contents[[0, 2]].tolist() == [b"raw", b"raw"]


def test_what_was_given_out_does_not_change_with_what_is_kept() -> None:
    some = kept(changes=Changes.begun())
    some.put(["a"], states(1), [0], read_at_s=0)
    found, _, _ = some.get(["a"], now_s=0)
    some.put(["a"], states(9), [0], read_at_s=0)
    assert found.records[0, 0] == 1
    assert some.get(["a"], now_s=0)[0].records[0, 0] == 9


def test_items_that_changed_are_forgotten_and_the_others_stay() -> None:
    begun = Changes.begun()
    some = kept(changes=begun)
    some.put(["a", "b"], states(1, 2), [0, 1], read_at_s=0)
    assert some.saw(begun.then([1002, 77]))
    assert some.get(["a", "b"], now_s=0)[1] == [1]


@pytest.mark.parametrize("said", [None, Changes.begun(), Changes(b"12345678", 9, tuple(range(3)))])
def test_a_store_that_cannot_tell_what_changed_is_read_anew(said: Changes | None) -> None:
    some = kept(changes=Changes(b"12345678", 1, (5,)))
    some.put(["a"], states(1), [0], read_at_s=0)
    assert some.saw(said) is (said is not None)
    assert len(some) == 0


def test_an_answer_that_was_overtaken_is_not_kept_and_forgets_nothing() -> None:
    begun = Changes.begun()
    some = kept(changes=begun.then([3]))
    some.put(["a"], states(1), [0], read_at_s=0)
    assert not some.saw(begun)
    assert some.changes == begun.then([3])
    assert len(some) == 1


def test_without_a_row_of_changes_states_are_kept_for_their_time() -> None:
    some = kept(ttl_s=10)
    assert some.saw(None)
    some.put(["a"], states(1), [0], read_at_s=5)
    assert some.get(["a"], now_s=15)[1:] == ([], 10.0)
    assert some.get(["a"], now_s=15.1)[1] == [0]
    assert not kept(ttl_s=0).saw(None)


def test_the_oldest_makes_room_and_places_are_used_again() -> None:
    some = kept(capacity=3, changes=Changes.begun())
    for number in range(50):
        some.put([f"k{number}"], states(number), [0], read_at_s=0)
    found, missing, _ = some.get(["k49", "k48", "k47", "k46"], now_s=0)
    assert missing == [3]
    assert found.records[:3, 0].tolist() == [49, 48, 47]
    assert len(some._after) == 3


def test_bytes_are_bounded_with_what_is_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_states, "_MOST_BYTES", 3000)
    some = kept(changes=Changes.begun())
    assert some._capacity == 3000 // (B + 250)
    for number in range(20):
        some.put([f"k{number}"], states(number, after=3, content=b"x" * 500), [0], read_at_s=0)
        assert some.size_bytes <= 3000 + 754
    assert len(some) == 4
    some.forget([f"k{number}" for number in range(20)])
    assert some.size_bytes == 0
