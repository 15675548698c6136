"""The last events beside a candidate, worked out one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from llactr.history import Event, HistoryDefinition, ItemVectors, KeyState, features, history_rows, key_hashes, push
from llactr.history.states import KeyStates
from llactr.spec import HistorySpec, SequenceField, TasteField
from tests.history.oracle import Seen
from tests.history.test_passes import SECOND, drawn_events, drawn_vectors, events_of, oracle_of

LAST = 4
FIELDS = (
    TasteField(name="before", description="one", kind="taste", vectors="text", measure="nearest"),
    SequenceField(name="past", description="the last events", kind="sequence", vectors="text", last=LAST),
    TasteField(name="behind", description="another", kind="taste", vectors="text", measure="recent"),
)


def definition_of(vectors: dict[str, list[float]]) -> HistoryDefinition:
    hashes = key_hashes(vectors)
    order = np.argsort(hashes)
    table = np.array(list(vectors.values()), np.float32)[order]
    return HistoryDefinition(HistorySpec(fields=FIELDS, last=6), 0.4, {"text": ItemVectors(hashes[order], table)})


def test_numbers_are_those_of_the_last_events() -> None:
    seen, vectors = drawn_events(0), drawn_vectors(0)
    definition = definition_of(vectors)
    assert definition.spec.columns[:4] == ("before", "past cosine 1", "past residual 1", "past age 1")
    assert definition.spec.places == {"before": 0, "past": slice(1, 13), "behind": 13}
    oracle, found = oracle_of(seen, vectors, definition), history_rows(definition, events_of(seen))
    assert found.shape == (len(seen), 2 + 3 * LAST)
    for at, row in enumerate(seen):
        kept = oracle.before(row.time, user=row.user)[-6:]
        own = sum(oracle.residual(event) for event in kept) / (len(kept) + 1)
        expected = np.full((LAST, 3), np.nan)
        for number, event in enumerate(list(reversed(kept))[:LAST]):
            here, there = (np.array(vectors.get(item, [0.0] * 3)) for item in (row.item, event.item))
            length = math.sqrt((here @ here) * (there @ there))
            cosine = here @ there / length if length else 0.0
            expected[number] = cosine, oracle.residual(event) - own, math.log1p((row.time - event.time) / SECOND)
        np.testing.assert_allclose(found[at, 1:13].reshape(LAST, 3), expected, rtol=2e-5, atol=3e-6)


def test_pushed_states_give_the_same_bits() -> None:
    seen = [one for one in drawn_events(1) if one.user == "u2"]
    definition = definition_of(drawn_vectors(1))
    expected = history_rows(definition, events_of(seen), neighbour_steps=0)
    user, items = KeyState.empty(definition, definition.user), {}
    for at, one in enumerate(seen):
        item = items.get(one.item) or KeyState.empty(definition, definition.item)
        hashes = key_hashes([one.user, one.item])
        found = features(definition, user.at(one.time), KeyStates.stack([item.at(one.time)]), hashes[1:], one.time)
        np.testing.assert_array_equal(found[0], expected[at])
        pushed = push(definition, user, item, Event(int(hashes[0]), int(hashes[1]), one.time, one.outcome))
        user, items[one.item] = pushed.user, pushed.item


def test_one_user_of_many_candidates_is_read_once() -> None:
    definition = definition_of(drawn_vectors(2))
    state = KeyState.empty(definition, definition.user)
    for number in range(9):
        state = state.add(int(key_hashes([f"i{number % 7}"])[0]), (number + 1) * SECOND, 0.25)
    candidates, now = key_hashes([f"i{n}" for n in range(8)]), 30 * SECOND
    states = state.at(now)
    items = KeyStates.empty(definition, definition.item, 8)
    together = features(definition, states, items, candidates, now)
    alone = [features(definition, states, items.take(np.array([n])), candidates[n : n + 1], now) for n in range(8)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    np.testing.assert_allclose(together[0, 3:13:3], np.log1p(np.array([21, 22, 23, 24])), rtol=1e-6)


def test_a_sequence_holds_what_is_kept() -> None:
    with pytest.raises(
        ValidationError, match="reads the last 4 events, and 3 are kept: give 'history' a longer 'last'"
    ):
        HistorySpec(fields=FIELDS, last=3)
    assert not np.isfinite(history_rows(definition_of(drawn_vectors(0)), events_of([Seen("u", "i1", 1, 1.0)]))).any()
