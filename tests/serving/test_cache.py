from __future__ import annotations

import numpy as np

from llactr.serving.cache import ItemCache


def put(cache: ItemCache, keys: list[str], at: float) -> None:
    rows = [(key.encode(),) for key in keys]
    cache.put(keys, rows, np.array([[int(key)] * 2 for key in keys], np.int32), read_at_s=at)


def test_what_was_put_is_found_until_its_time_is_over() -> None:
    cache = ItemCache(capacity=10, ttl_s=5, width=2)
    put(cache, ["1", "2"], 100)
    put(cache, ["3"], 103)
    ids, hits, rows, age = cache.lookup(["3", "9", "1", "1"], now_s=104)
    assert hits.tolist() == [True, False, True, True]
    assert ids[hits].tolist() == [[3, 3], [1, 1], [1, 1]]
    assert [row for row, hit in zip(rows, hits, strict=True) if hit] == [(b"3",), (b"1",), (b"1",)]
    assert age == 4
    _, hits, _, age = cache.lookup(["1", "3"], now_s=105.5)
    assert hits.tolist() == [False, True]
    assert age == 2.5
    put(cache, ["1"], 106)
    assert cache.lookup(["1"], now_s=107)[1].tolist() == [True]


def test_it_never_holds_more_than_its_capacity_and_drops_the_oldest() -> None:
    cache = ItemCache(capacity=3, ttl_s=1e9, width=2)
    for key in range(1000):
        put(cache, [str(key)], key)
        assert len(cache) <= 3
    _, hits, _, _ = cache.lookup(["996", "997", "998", "999"], now_s=1000)
    assert hits.tolist() == [False, True, True, True]
    ids, _, _, _ = cache.lookup(["997", "999"], now_s=1000)
    assert ids.tolist() == [[997, 997], [999, 999]]


def test_a_time_to_live_of_zero_keeps_nothing() -> None:
    cache = ItemCache(capacity=3, ttl_s=0, width=2)
    put(cache, ["1"], 0)
    assert len(cache) == 0
    assert cache.lookup(["1"], now_s=0)[1].tolist() == [False]


def test_unknown_items_are_not_kept() -> None:
    cache = ItemCache(capacity=3, ttl_s=9, width=1)
    cache.put(["1"], [None], np.array([[1]], np.int32), read_at_s=0)
    assert cache.lookup(["1"], now_s=0)[1].tolist() == [False]


def test_a_lookup_is_not_changed_by_what_comes_after() -> None:
    cache = ItemCache(capacity=1, ttl_s=9, width=2)
    put(cache, ["1"], 0)
    ids, _, _, _ = cache.lookup(["1"], now_s=0)
    put(cache, ["2"], 0)
    assert ids.tolist() == [[1, 1]]
