"""The fast pass against the slow oracle, field by field and row by row."""

from __future__ import annotations

import numpy as np
import pytest

from llactr.history.categories import ItemCategories
from llactr.history.definition import HistoryDefinition
from llactr.history.events import Events, events_before, key_hashes
from llactr.history.passes import history_rows
from llactr.history.vectors import ItemVectors
from llactr.spec.history import HistorySpec, TasteField, WindowField
from tests.history.oracle import Oracle, Seen

SECOND = 1_000_000
MEASURES = ("level", "recent", "regression", "uncertainty", "similarity", "nearest", "liked_near", "disliked_near")
FIELDS = (
    WindowField(name="user_count", description="seen", kind="window", owner="user", measure="count"),
    WindowField(name="user_rate", description="rate", kind="window", owner="user", measure="rate"),
    WindowField(name="user_clicks_week", description="week", kind="window", owner="user", measure="clicks", last="80s"),
    WindowField(name="item_rate_half", description="half", kind="window", owner="item", measure="rate", half_life="1m"),
    WindowField(name="item_rate", description="rate", kind="window", owner="item", measure="rate"),
    WindowField(name="item_count_last", description="last", kind="window", owner="item", measure="count", last=40),
    *(
        TasteField(name=f"taste_{measure}", description=measure, kind="taste", vectors="text", measure=measure, above=0)
        for measure in MEASURES
    ),
    *(
        WindowField(
            name=f"pair_{m}", description=m, kind="window", owner="pair", category="genre", measure=m, half_life=life
        )
        for m, life in (("count", None), ("rate", None), ("clicks", "1m"))
    ),
    TasteField(name="item_item", description="both", kind="taste", vectors="item_item", measure="similarity"),
)
GENRES = {"i0": ["a"], "i1": ["a", "b"], "i2": [], "i3": ["c", "b", "c"], "i4": ["a"], "i5": ["d"], "i7": ["b"]}
"""i2 and i6 have none."""


def drawn_events(seed: int, count: int = 160) -> list[Seen]:
    """Few users, items and seconds: many equal times, some repeated events."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 200, count)) * SECOND
    return [Seen(f"u{rng.integers(5)}", f"i{rng.integers(8)}", int(time), float(rng.integers(2))) for time in times]


def drawn_vectors(seed: int) -> dict[str, list[float]]:
    """Vectors of all items but one."""
    rng = np.random.default_rng(seed)
    return {f"i{n}": [float(v) for v in np.float32(rng.normal(size=3))] for n in range(7)}


def definition_of(vectors: dict[str, list[float]], **settings: object) -> HistoryDefinition:
    hashes = key_hashes(vectors)
    order = np.argsort(hashes)
    table = np.array(list(vectors.values()), np.float32)[order]
    spec = HistorySpec(fields=FIELDS, last=6, **settings)
    genres = {"genre": ItemCategories.of(list(GENRES), list(GENRES.values()))}
    return HistoryDefinition(spec, 0.4, {"text": ItemVectors(hashes[order], table)}, categories=genres)


def events_of(seen: list[Seen]) -> Events:
    return Events.of(
        [e.user for e in seen],
        [e.item for e in seen],
        np.array([e.time for e in seen], np.int64),
        np.array([e.outcome for e in seen], np.float32),
    )


def oracle_of(seen: list[Seen], vectors: dict[str, list[float]], definition: HistoryDefinition) -> Oracle:
    spec = definition.spec
    return Oracle(
        seen,
        delay=int(spec.outcome_delay * SECOND),
        overall=definition.overall_rate,
        smoothing=spec.smoothing,
        vectors=vectors,
        prior_taste=spec.prior_taste,
        prior_level=spec.prior_level,
        last=spec.last,
        genres=GENRES,
    )


def expected_row(oracle: Oracle, row: Seen, table_time: int) -> list[float]:
    mine, its = oracle.before(row.time, user=row.user), oracle.before(row.time, item=row.item)
    values = [
        oracle.window(mine, row.time, measure="count"),
        oracle.window(mine, row.time, measure="rate"),
        oracle.window(mine, row.time, measure="clicks", last=80 * SECOND),
        oracle.window(its, row.time, measure="rate", half_life=60 * SECOND),
        oracle.window(its, row.time, measure="rate"),
        oracle.window(its, row.time, measure="count", last=40 * SECOND),
    ]
    values += [oracle.taste(row.user, row.item, row.time, measure=measure) for measure in MEASURES]
    values += [
        oracle.pair(mine, row.item, row.time, measure="count"),
        oracle.pair(mine, row.item, row.time, measure="rate"),
        oracle.pair(mine, row.item, row.time, measure="clicks", half_life=60 * SECOND),
    ]
    return [*values, oracle.neighbours(row.user, row.item, row.time, table_time=table_time)]


@pytest.mark.parametrize(("seed", "delay"), [(0, 0), (1, 0), (2, 7), (3, 45)])
def test_the_fast_pass_equals_the_slow_oracle(seed: int, delay: int) -> None:
    seen, vectors = drawn_events(seed), drawn_vectors(seed)
    definition = definition_of(vectors, outcome_delay=delay)
    oracle = oracle_of(seen, vectors, definition)
    found = history_rows(definition, events_of(seen), neighbour_steps=3)
    counted = oracle.events
    cuts = sorted({counted[int(at)].time for at in np.linspace(0, len(counted) - 1, 4)[:-1].astype(int)})
    expected = [
        expected_row(oracle, row, max([cut for cut in cuts if cut <= row.time], default=cuts[0])) for row in seen
    ]
    for at, name in enumerate(definition.spec.field_names):
        np.testing.assert_allclose(
            found[:, at], np.array(expected)[:, at], rtol=2e-5, atol=3e-6, equal_nan=True, err_msg=name
        )


def test_rows_of_other_moments_and_of_unknown_keys() -> None:
    seen, vectors = drawn_events(4), drawn_vectors(4)
    definition = definition_of(vectors, outcome_delay=3)
    oracle = oracle_of(seen, vectors, definition)
    rows = [Seen("u1", "i2", 90 * SECOND + 5, 0.0), Seen("nobody", "i1", 150 * SECOND, 0.0), Seen("u2", "new", 1, 1.0)]
    found = history_rows(definition, events_of(seen), events_of(rows), neighbour_steps=1)
    for row, values in zip(rows, found, strict=True):
        expected = expected_row(oracle, row, seen[0].time)
        np.testing.assert_allclose(values, expected, rtol=2e-5, atol=3e-6, equal_nan=True)


def test_equal_times_do_not_see_each_other() -> None:
    seen = [Seen("u0", f"i{n}", 5 * SECOND, 1.0) for n in range(4)] + [Seen("u0", "i4", 6 * SECOND, 0.0)]
    found = history_rows(definition_of(drawn_vectors(0)), events_of(seen))
    np.testing.assert_allclose(found[:, 0], [0, 0, 0, 0, np.log(5)], rtol=1e-6)


def test_an_outcome_counts_strictly_after_its_delay() -> None:
    definition = definition_of(drawn_vectors(0), outcome_delay=10)
    events = events_of([Seen("u0", "i0", 0, 1.0)])
    rows = events_of([Seen("u0", "i1", 10 * SECOND, 0.0), Seen("u0", "i1", 10 * SECOND + 1, 0.0)])
    np.testing.assert_allclose(history_rows(definition, events, rows)[:, 0], [0, np.log(2)], rtol=1e-6)


def test_a_repeated_event_counts_once_and_with_its_first_outcome() -> None:
    definition = definition_of(drawn_vectors(0))
    seen = [Seen("u0", "i0", 0, 1.0), Seen("u0", "i0", 0, 0.0), Seen("u0", "i0", SECOND, 1.0)]
    found = history_rows(definition, events_of(seen), events_of([Seen("u0", "i1", 9 * SECOND, 0.0)]))
    np.testing.assert_allclose(found[0, :2], [np.log(3), (2 + 10 * 0.4) / 12], rtol=1e-6)


def test_the_order_in_which_events_come_does_not_matter() -> None:
    seen, vectors = drawn_events(5), drawn_vectors(5)
    once = list({(e.user, e.item, e.time): e for e in seen}.values())
    # Two events of one user at one time have no order of their own: leave such out.
    alone = [e for e in once if sum(o.user == e.user and o.time == e.time for o in once) == 1]
    shuffled = [alone[at] for at in np.random.default_rng(0).permutation(len(alone))]
    definition = definition_of(vectors)
    rows = events_of(alone)
    np.testing.assert_array_equal(
        history_rows(definition, events_of(alone), rows), history_rows(definition, events_of(shuffled), rows)
    )


def test_events_before_is_strict() -> None:
    first, end = events_before(
        np.array([3, 3, 7], np.uint64),
        np.array([5, 7, 5]),
        np.array([1, 3, 3, 3, 5, 7, 9], np.uint64),
        np.array([100, 5, 6, 8, 100, 6, 100]),
    )
    assert (end - first).tolist() == [0, 0, 1, 2, 0, 1, 0]
    assert first[1:4].tolist() == [0, 0, 0]
    assert first[5] == 2


def test_no_events_at_all() -> None:
    definition = definition_of(drawn_vectors(0))
    found = history_rows(definition, events_of([]), events_of([Seen("u0", "i1", SECOND, 0.0)]))
    assert found[0, 0] == 0
    assert np.isnan(found[0, 1])
