"""States that grow by pushes, through their bytes, against the offline pass and its snapshots."""

from __future__ import annotations

import numpy as np
import pytest

from llactr.errors import StoreError
from llactr.history import (
    Event,
    ItemCategories,
    KeyState,
    KeyStates,
    features,
    history_rows,
    key_hashes,
    newest_states,
    push,
    snapshots,
    states_from_bytes,
)
from llactr.history.definition import HistoryDefinition
from llactr.history.encoding import decode
from llactr.history.layout import NEVER
from llactr.spec import HistorySpec
from tests.history.oracle import Seen
from tests.history.test_passes import SECOND, definition_of, drawn_events, drawn_vectors, events_of


class Store:
    """Every state as bytes, as an online store would have it."""

    def __init__(self, definition: HistoryDefinition) -> None:
        self.definition = definition
        self.content: dict[tuple[str, int], bytes] = {}

    def state(self, owner: str, key: int) -> KeyState:
        layout = getattr(self.definition, owner)
        content = self.content.get((owner, key))
        if content is None:
            return KeyState.empty(self.definition, layout)
        return KeyState.from_bytes(self.definition, layout, content)

    def row(self, user: int, item: int, now: int) -> np.ndarray:
        users, items = self.state("user", user).at(now), self.state("item", item).at(now)
        return features(self.definition, users, items, np.array([item], np.uint64), now)[0]

    def push(self, user: int, item: int, time: int, outcome: float) -> bool:
        pushed = push(
            self.definition, self.state("user", user), self.state("item", item), Event(user, item, time, outcome)
        )
        if pushed.counted:
            self.content["user", user], self.content["item", item] = pushed.user.to_bytes(), pushed.item.to_bytes()
        return pushed.counted


def pushed_store(definition: HistoryDefinition, seen: list[Seen]) -> tuple[Store, np.ndarray]:
    """The store after all events, and the features that each had before it was pushed."""
    store, events, rows = Store(definition), events_of(seen), []
    for user, item, time, outcome in zip(events.user, events.item, events.time, events.outcome, strict=True):
        rows.append(store.row(int(user), int(item), int(time)))
        store.push(int(user), int(item), int(time), float(outcome))
    return store, np.array(rows)


@pytest.mark.parametrize(("seed", "delay"), [(0, 0), (1, 13), (2, 60)])
def test_what_is_scored_and_then_pushed_equals_the_pass(seed: int, delay: int) -> None:
    # Repeated events are recognised among the last N: leave out those that are not.
    seen = list({(e.user, e.item, e.time): e for e in drawn_events(seed)}.values())
    definition = definition_of(drawn_vectors(seed), outcome_delay=delay)
    _, found = pushed_store(definition, seen)
    expected = history_rows(definition, events_of(seen), neighbour_steps=0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("delay", [0, 40])
def test_settled_states_are_those_of_every_later_moment(delay: int) -> None:
    definition = definition_of(drawn_vectors(5), outcome_delay=delay)
    store, _ = pushed_store(definition, drawn_events(5))
    contents = [content for (owner, _), content in store.content.items() if owner == "user"] + [None]
    decoded = decode(definition, definition.user, contents)
    settled, after = decoded.settled(definition, definition.user)
    newest = [
        KeyState.from_bytes(definition, definition.user, one) if one else KeyState.empty(definition, definition.user)
        for one in contents
    ]
    assert after.tolist() == [one.pending[-1].time + delay * SECOND if one.pending else NEVER for one in newest]
    for at, one in enumerate(newest):
        for later in (1, 10**12):
            now = max(int(after[at]), 0) + later
            np.testing.assert_array_equal(settled.bytes[at : at + 1], one.at(now).bytes)
    assert any(one.pending for one in newest)
    assert not any(
        np.array_equal(settled.bytes[at], one.at(int(after[at])).bytes[0])
        for at, one in enumerate(newest)
        if one.pending
    )


def test_an_empty_store_filled_from_offline_equals_one_that_was_pushed_to() -> None:
    seen = list({(e.user, e.item, e.time): e for e in drawn_events(3)}.values())
    definition = definition_of(drawn_vectors(3), outcome_delay=9)
    store, _ = pushed_store(definition, seen)
    filled = {
        (owner, key): state.to_bytes()
        for owner in ("user", "item")
        for key, state in newest_states(definition, events_of(seen), owner=owner)
    }
    assert filled == store.content


def test_a_snapshot_and_the_function_equal_the_pass() -> None:
    seen = drawn_events(4)
    definition = definition_of(drawn_vectors(4), outcome_delay=5)
    events = events_of(seen)
    kept: dict[str, dict[int, list[tuple[int, bytes]]]] = {"user": {}, "item": {}}
    for owner, of_keys in kept.items():
        for table in snapshots(definition, events, owner=owner):
            times = table["event_timestamp"].cast("int64").to_pylist()
            for key, time, state in zip(table["key"].to_pylist(), times, table["state"].to_pylist(), strict=True):
                of_keys.setdefault(key, []).append((time, state))

    def joined(owner: str, key: int, now: int) -> KeyStates:
        layout = getattr(definition, owner)
        before = [row for row in kept[owner].get(key, []) if row[0] <= now]
        if not before:
            return KeyStates.empty(definition, layout, 1)
        return KeyState.from_bytes(definition, layout, max(before)[1]).at(now)

    expected = history_rows(definition, events, neighbour_steps=0)
    for at in range(len(events)):
        user, item, now = int(events.user[at]), int(events.item[at]), int(events.time[at])
        found = features(
            definition, joined("user", user, now), joined("item", item, now), events.item[at : at + 1], now
        )
        np.testing.assert_array_equal(found[0], expected[at])
    for owner in ("user", "item"):  # the last row of a key is its newest state, to the byte
        newest = {key: state.to_bytes() for key, state in newest_states(definition, events, owner=owner)}
        assert {key: max(rows)[1] for key, rows in kept[owner].items()} == newest


def test_candidates_of_one_user_at_once_equal_them_one_by_one() -> None:
    seen = drawn_events(5)
    definition = definition_of(drawn_vectors(5))
    store, _ = pushed_store(definition, seen)
    user, now = int(key_hashes(["u1"])[0]), 500 * SECOND
    items = key_hashes([f"i{n}" for n in range(8)] + ["new"])
    at_once = features(
        definition,
        store.state("user", user).at(now),
        KeyStates.stack([store.state("item", int(item)).at(now) for item in items]),
        items,
        now,
    )
    np.testing.assert_array_equal(at_once, [store.row(user, int(item), now) for item in items])


def test_a_repeated_event_changes_nothing() -> None:
    store = Store(definition_of(drawn_vectors(0)))
    assert store.push(1, 2, 3 * SECOND, 1.0)
    before = dict(store.content)
    assert not store.push(1, 2, 3 * SECOND, 0.0)
    assert store.content == before


def test_late_events_take_their_place_in_the_list() -> None:
    definition = definition_of(drawn_vectors(0))
    times = [50, 10, 90, 70, 20, 30, 5, 60, 40, 80]
    late, sorted_ = Store(definition), Store(definition)
    for place, store in ((times, late), (sorted(times), sorted_)):
        for time in place:
            store.push(1, time, time * SECOND, float(time % 20 == 0))
    now = 1000 * SECOND
    a, b = late.state("user", 1).at(now), sorted_.state("user", 1).at(now)
    for state in (a, b):
        newest_last = (int(state.count[0]) + np.arange(6)) % 6
        assert state.times[0][newest_last].tolist() == [time * SECOND for time in (40, 50, 60, 70, 80, 90)]
    np.testing.assert_allclose(a.means["text"], b.means["text"], atol=1e-6)
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-6)
    np.testing.assert_allclose(late.row(1, 50, now), sorted_.row(1, 50, now), rtol=1e-5, atol=1e-6)


def test_an_event_is_pending_until_its_outcome_is_known() -> None:
    definition = definition_of(drawn_vectors(0), outcome_delay=10)
    state = KeyState.empty(definition, definition.user).add(7, 5 * SECOND, 0.5)
    assert state.at(15 * SECOND).count[0] == 0
    assert state.at(15 * SECOND + 1).count[0] == 1
    assert state.folded.count[0] == 0


def test_reading_a_state_does_not_change_it() -> None:
    definition = definition_of(drawn_vectors(0))
    state = KeyState.empty(definition, definition.user).add(7, 5 * SECOND, 0.5)
    before = state.to_bytes()
    state.at(100 * SECOND)
    assert state.to_bytes() == before


def test_a_users_state_fits_into_four_kilobytes() -> None:
    rng = np.random.default_rng(0)
    vectors = {f"i{n}": [float(v) for v in rng.normal(size=24)] for n in range(80)}
    definition = definition_of(vectors)
    spec = definition.spec.model_copy(update={"last": 100, "pair_values": 16})
    definition = HistoryDefinition(spec, 0.4, definition.vectors, categories=definition.categories)
    store = Store(definition)
    for n, item in enumerate(key_hashes(vectors)):
        for again in range(3):
            store.push(1, int(item), (100 * n + again) * SECOND, float(n % 2))
    # header 30; 1 sum 8, 1 tiled window 72; 100 events of 20; 25 + 325 numbers of 4; 2 pair windows of 16 values of 12;
    # one pending event of 20
    assert len(store.content["user", 1]) == 30 + 8 + 72 + 2000 + 1400 + 384 + 20 < 4096


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b"xx" + b[2:], "not the state of a key's history"),
        (lambda b: b[:2] + b"\x09" + b[3:], "format 9"),
        (lambda b: b[:4] + bytes(8) + b[12:], "states of another bundle"),
        (lambda b: b[:-1], "cut off"),
        (lambda b: b + b"\x00", "longer than it says"),
    ],
)
def test_bytes_that_are_no_state_are_refused(change, message: str) -> None:
    definition = definition_of(drawn_vectors(0))
    content = KeyState.empty(definition, definition.user).add(7, 5 * SECOND, 0.5).to_bytes()
    with pytest.raises(StoreError, match=message):
        KeyState.from_bytes(definition, definition.user, change(content))


def test_nothing_is_no_state() -> None:
    definition = definition_of(drawn_vectors(0))
    with pytest.raises(StoreError, match="not the state of a key's history"):
        KeyState.from_bytes(definition, definition.user, b"")


@pytest.mark.parametrize("delay", [0, 40])
def test_states_of_many_keys_at_once_equal_them_one_by_one(delay: int) -> None:
    definition = definition_of(drawn_vectors(6), outcome_delay=delay)
    store, _ = pushed_store(definition, drawn_events(6))
    now = 210 * SECOND
    for owner, names in (("user", "u"), ("item", "i")):
        keys = [int(key) for key in key_hashes(f"{names}{n}" for n in range(9))]  # some have no events
        layout = getattr(definition, owner)
        found = states_from_bytes(definition, layout, [store.content.get((owner, key)) for key in keys], now)
        expected = KeyStates.stack([store.state(owner, key).at(now) for key in keys])
        np.testing.assert_array_equal(found.bytes, expected.bytes)


def test_of_too_many_categories_the_least_frequent_gives_way() -> None:
    spec = HistorySpec(
        fields=[
            {"name": f"pair_{m}", "description": m, "kind": "window", "owner": "pair", "with": "tag", "measure": m}
            for m in ("count", "clicks")
        ],
        pair_values=2,
    )
    categories = {"tag": ItemCategories.of(["i1", "i2", "i3", "i4"], [["a"], ["b"], ["c"], ["a", "c"]])}
    definition = HistoryDefinition(spec, 0.5, categories=categories)
    user = KeyState.empty(definition, definition.user)
    items = key_hashes(["i1", "i2", "i3", "i4"])
    for second, (item, value) in enumerate([(0, 0.5), (0, -0.5), (1, 0.5), (2, -0.5), (2, 0.5)]):  # a a b c c
        user = user.add(int(items[item]), second * SECOND, value)
    unseen = KeyStates.empty(definition, definition.item, 4)
    found = features(definition, user.at(9 * SECOND), unseen, items, 9 * SECOND)
    np.testing.assert_allclose(found, np.log1p([[2, 1], [0, 0], [2, 1], [2, 1]]), rtol=1e-6)
