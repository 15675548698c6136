"""Numbers of rows after training are those that a service gives from states to which every event was pushed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from llactr.ctr.training.data import Split
from llactr.ctr.training.history import made_history
from llactr.history import Event, Events, ItemSources, KeyState, key_hashes, push, request_history
from llactr.spec import HistorySpec, WindowField

SECOND = 1_000_000
USERS, ITEMS = [f"u{n}" for n in range(6)], [f"i{n}" for n in range(8)]
ROWS = 240


def drawn(seed: int) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Many equal times; the last items come late."""
    rng = np.random.default_rng(seed)
    users = [USERS[n] for n in rng.integers(0, 6, ROWS)]
    items = [ITEMS[n] for n in np.minimum(rng.integers(0, 8, ROWS), 5 + 2 * np.arange(ROWS) // ROWS)]
    times = np.sort(rng.integers(0, 150, ROWS)) * SECOND
    return users, items, times, rng.integers(0, 2, ROWS).astype(np.float32)


def section(delay: float) -> HistorySpec:
    week = WindowField(name="week", description="lately", kind="window", owner="user", measure="rate", last=40)
    return HistorySpec(outcome_delay=delay, last=7, rank=3, fields=(*HistorySpec().fields, week))


def sources() -> ItemSources:
    rng = np.random.default_rng(5)
    categories = (rng.random((8, 4)) < 0.5).astype(np.float32)
    return ItemSources(tuple(ITEMS), categories, rng.normal(size=(8, 5)).astype(np.float32))


SPLIT = Split(np.arange(160), np.arange(160, 200), np.arange(200, ROWS))


@pytest.mark.parametrize(("seed", "delay"), [(0, 0), (1, 9)])
def test_a_replay_of_pushes_gives_the_same_bits(seed: int, delay: float) -> None:
    users, items, times, labels = drawn(seed)
    events = Events.of(users, items, times, labels)
    history, median, notes = made_history(section(delay), sources(), events, SPLIT)
    definition = history.definition
    assert notes == ()
    store: dict[tuple[str, int], KeyState] = {}

    def state(owner: Literal["user", "item"], key: int) -> KeyState:
        return store.get(
            (owner, key), KeyState.empty(definition, definition.user if owner == "user" else definition.item)
        )

    def read(owner: Literal["user", "item"], keys: Sequence[str]) -> list[bytes | None]:
        known = [store.get((owner, int(key))) for key in key_hashes(keys)]
        return [None if one is None else one.to_bytes() for one in known]

    pushed, seen = 0, []
    for row in range(160, ROWS):
        while pushed < ROWS and times[pushed] < times[row]:
            event = Event(int(events.user[pushed]), int(events.item[pushed]), int(times[pushed]), float(labels[pushed]))
            after = push(definition, state("user", event.user), state("item", event.item), event)
            store["user", event.user], store["item", event.item] = after.user, after.item
            pushed += 1
        found = request_history(
            definition, read, users=[users[row]], items=[items[row]], now=np.array([times[row]], np.int64)
        )
        np.testing.assert_array_equal(found[0], history.numbers[row], err_msg=f"row {row}")
        if row < 200:
            counted = {(u, i, t) for u, i, t in zip(users, items, times.tolist(), strict=True) if u == users[row]}
            seen.append(sum(t + delay * SECOND < times[row] for _, _, t in counted))
    assert median == np.median(seen)
    assert np.isfinite(history.numbers).any(axis=0).all(), "every field has something to say of some row"


def test_held_out_rows_have_not_happened() -> None:
    """A held-out item has no past before validation, and its rows teach nobody anything."""
    users, items, times, labels = drawn(2)
    events = Events.of(users, items, times, labels)
    kept = np.array([row for row in range(160) if items[row] != "i3"])
    held = Split(kept, SPLIT.validation, SPLIT.test)
    spec = section(0)
    found, _, _ = made_history(spec, sources(), events, held)
    rows = np.concatenate([kept, SPLIT.validation, SPLIT.test])
    other, _, _ = made_history(
        spec, sources(), events.take(rows), Split(np.arange(len(kept)), len(kept) + np.arange(40), len(kept) + np.arange(40, 80))
    )  # fmt: skip
    np.testing.assert_array_equal(found.numbers[rows], other.numbers)
    assert np.isnan(found.numbers[[row for row in range(160) if items[row] == "i3"]]).all()
    rate = spec.field_names.index("item_rate")
    first = next(row for row in range(160, ROWS) if items[row] == "i3")
    assert np.isnan(found.numbers[first, rate])


def test_some_fields_of_a_history() -> None:
    history, _, _ = made_history(section(0), sources(), Events.of(*drawn(3)), SPLIT)
    some = history.only(("item_rate", "taste_nearest"))
    assert some.definition.spec.field_names == ("item_rate", "taste_nearest")
    places = [history.definition.spec.field_names.index(name) for name in ("item_rate", "taste_nearest")]
    np.testing.assert_array_equal(some.numbers, history.numbers[:, places])
    assert history.only(history.definition.spec.field_names) is history
