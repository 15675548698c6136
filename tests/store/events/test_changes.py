"""The row that says which items' states changed last."""

from __future__ import annotations

import pytest

from llactr.history import key_hashes
from llactr.store.events import state_store
from llactr.store.events.changes import Changes, changes_key
from llactr.store.feast.open import open_store
from llactr.store.marks import MARK_KEY, marks_view
from tests.store.events.events_workspace import Online, drawn


def row(online: Online) -> Changes | None:
    """As Feast itself reads it."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    store = open_store(online.workspace, config=online.config)
    key = EntityKey(join_keys=[MARK_KEY], entity_values=[Value(string_val=changes_key(online.spec, online.version))])
    found = store.provider.online_store.online_read(store.config, marks_view(), [key], ["keys"])[0][1]  # type: ignore[attr-defined]
    return Changes.parse(found["keys"].bytes_val) if found else None


def test_a_row_names_the_items_that_came_after_another_one() -> None:
    first = Changes.begun()
    second = first.then([1, 2])
    third = second.then([3]).then([1])
    assert Changes.parse(third.to_bytes()) == third
    assert (list(third.since(first) or ()), list(third.since(second) or ())) == ([1, 2, 3, 1], [3, 1])
    assert list(third.since(third) or ["none"]) == ["none"]


def test_a_row_that_is_too_far_ahead_or_of_another_filling_tells_nothing() -> None:
    first = Changes.begun().then([5])
    assert first.then(range(100, 164)).since(first) is not None
    assert first.then(range(100, 165)).since(first) is None
    assert Changes.begun().then([5, 6]).since(first) is None
    assert first.since(first.then([6])) is None


def test_a_store_that_went_back_and_another_way_tells_nothing() -> None:
    before = Changes.begun().then([1, 2])
    assert before.then([3]).then([4, 5]).since(before.then([9])) is None
    assert list(before.then([3]).then([4, 5]).since(before.then([3])) or ()) == [4, 5]


@pytest.mark.parametrize("content", [None, b"", b"short", b"x" * 17, b"x" * 20])
def test_bytes_that_are_no_row_tell_nothing(content: bytes | None) -> None:
    assert Changes.parse(content) is None


def test_every_push_moves_the_row_and_a_filling_begins_another(everywhere: Online) -> None:
    begun = row(everywhere)
    assert begun is not None
    assert begun.count == 0
    pushed, pusher = drawn(3, seed=4), everywhere.pusher()
    try:
        for event in pushed:
            pusher.push([event])
        pusher.push([pushed[0]])  # repeated: no state changes
    finally:
        pusher.close()
    after = row(everywhere)
    assert after is not None
    assert list(after.since(begun) or ()) == key_hashes([event.item for event in pushed]).tolist()
    states = state_store(open_store(everywhere.workspace, config=everywhere.config), everywhere.spec)
    states.begin(everywhere.version, "again")
    assert row(everywhere) is None
    states.finish(everywhere.version, "again", "user", {})
    assert row(everywhere) is None
    states.finish(everywhere.version, "again", "item", {})
    again = row(everywhere)
    assert again is not None
    assert again.since(after) is None
