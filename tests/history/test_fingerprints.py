"""What a state knows of a key's past, against lists made event by event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llactr.history import Event, Events, HistoryDefinition, KeyState, key_hashes, push
from llactr.history.fingerprints import fingerprints, fingerprints_at
from llactr.spec import HistorySpec, WindowField
from tests.history.oracle import Seen, distinct

LAST, DELAY_S = 4, 3


@pytest.fixture(scope="module")
def definition() -> HistoryDefinition:
    window: dict[str, Any] = {"kind": "window", "measure": "rate", "description": "past"}
    fields = tuple(WindowField(name=f"{owner}_rate", owner=owner, **window) for owner in ("user", "item"))
    return HistoryDefinition(HistorySpec(outcome_delay=DELAY_S, last=LAST, fields=fields), 0.4)


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    """Few users and items, many equal times, some events twice."""
    random = np.random.default_rng(5)
    columns = (
        random.integers(0, 4, 80),
        random.integers(0, 5, 80),
        random.integers(0, 40, 80),
        random.random(80) < 0.5,
    )
    made = [Seen(f"u{u}", f"i{i}", int(t) * 1_000_000, float(y)) for u, i, t, y in zip(*columns, strict=True)]
    return sorted(made, key=lambda event: event.time)


def events_of(seen: list[Seen]) -> Events:
    times, outcomes = np.array([e.time for e in seen], np.int64), np.array([e.outcome for e in seen], np.float32)
    return Events.of([e.user for e in seen], [e.item for e in seen], times, outcomes)


@pytest.mark.parametrize("owner", ["user", "item"])
def test_at_random_moments_it_is_what_lies_strictly_before(
    owner: Any, definition: HistoryDefinition, seen: list[Seen]
) -> None:
    random = np.random.default_rng(1)
    keys = [f"{owner[0]}{n}" for n in random.integers(0, 6, 50)]  # some without events
    now = random.integers(0, 50, 50) * 1_000_000
    found = fingerprints_at(definition, events_of(seen), key_hashes(keys), now, owner=owner)
    lists = found.last.to_pylist()
    for row, (key, moment) in enumerate(zip(keys, now.tolist(), strict=True)):
        before = [e for e in distinct(seen) if getattr(e, owner) == key and e.time + DELAY_S * 1_000_000 < moment]
        assert found.totals[row].tolist() == [len(before), sum(e.outcome for e in before)]
        if owner == "item":
            assert lists[row] == []
            continue
        times = [event["time"].timestamp() * 1e6 for event in lists[row]]
        assert times == [e.time for e in before[-LAST:]]
        known = {(int(key_hashes([e.item])[0]), e.time, e.outcome == 1) for e in before}
        assert {(e["item"], e["time"].timestamp() * 1e6, e["clicked"]) for e in lists[row]} <= known


def test_the_order_of_arrival_changes_nothing_while_the_list_has_room(
    definition: HistoryDefinition, seen: list[Seen]
) -> None:
    mine, made = [e for e in distinct(seen) if e.user == "u1"][:LAST], []
    for arrivals in ([0, 1, 2, 3], [3, 1, 0, 2]):
        state, item = KeyState.empty(definition, definition.user), KeyState.empty(definition, definition.item)
        for at in arrivals:
            user, other = key_hashes([mine[at].user, mine[at].item]).tolist()
            state = push(definition, state, item, Event(user, other, mine[at].time, mine[at].outcome)).user
        made.append(fingerprints(definition.user, state.at(10**12)).last.to_pylist()[0])
    assert made[0] == made[1]
    assert [event["time"].timestamp() * 1e6 for event in made[0]] == [event.time for event in mine]
