"""Some keys at a time: nothing is missed, nothing comes twice, and nothing is different."""

from __future__ import annotations

import numpy as np
import pytest

from llactr.history import history_rows, newest_states, sides, snapshots
from llactr.history.events import Events, key_hashes
from tests.history.test_passes import definition_of, drawn_events, drawn_vectors


@pytest.fixture
def events() -> Events:
    seen = drawn_events(3)
    return Events.of(
        [one.user for one in seen],
        [one.item for one in seen],
        np.array([one.time for one in seen], np.int64),
        np.array([one.outcome for one in seen], np.float32),
    )


def test_every_place_comes_once_and_a_key_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "_ROWS_AT_ONCE", 100)
    keys, rows = (
        key_hashes([f"k{n % distinct}" for n in range(count)]) for count, distinct in ((1000, 90), (700, 200))
    )
    parts = [(mine, asked) for mine, asked in sides.in_parts(keys, rows)]
    assert len(parts) == 16, "900 and more are cut by four bits"
    for places, of in ((0, keys), (1, rows)):
        assert sorted(place for part in parts for place in part[places]) == list(range(len(of)))
        assert all((np.diff(part[places]) > 0).all() for part in parts)
        among = [set(of[part[places]].tolist()) for part in parts]
        assert sum(map(len, among)) == len(set(of.tolist()))
    both = [set(keys[mine].tolist()) | set(rows[asked].tolist()) for mine, asked in parts]
    assert sum(map(len, both)) == len(set(keys.tolist()) | set(rows.tolist()))


def test_what_fits_at_once_is_not_cut() -> None:
    keys = key_hashes(["a", "b"])
    assert list(sides.in_parts(keys, keys[:0])) == [(slice(None), slice(None))]


def test_fields_and_states_are_the_same_bits_in_parts(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = definition_of(drawn_vectors(3))

    def all_of_it() -> tuple[bytes, dict[str, set[tuple[int, object, bytes]]], dict[str, list[tuple[int, bytes]]]]:
        rows = {
            owner: {
                (row["key"], row["event_timestamp"], row["state"])
                for table in snapshots(definition, events, owner=owner)
                for row in table.to_pylist()
            }
            for owner in ("user", "item")
        }
        newest = {
            owner: [(key, state.to_bytes()) for key, state in newest_states(definition, events, owner=owner)]
            for owner in ("user", "item")
        }
        return history_rows(definition, events).tobytes(), rows, newest

    at_once = all_of_it()
    monkeypatch.setattr(sides, "_ROWS_AT_ONCE", 20)
    assert all_of_it() == at_once
    assert len(at_once[1]["user"]) > 20
