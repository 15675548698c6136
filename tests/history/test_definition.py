from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llactr.errors import BundleError, DataError, SpecError
from llactr.history import HistoryDefinition, ItemCategories, history_rows, key_hashes, with_neighbours
from llactr.spec import HistorySpec
from tests.history.oracle import Seen
from tests.history.test_passes import SECOND, definition_of, drawn_events, drawn_vectors, events_of, oracle_of


def test_a_saved_definition_gives_the_same_fields_and_reads_the_same_states(tmp_path: Path) -> None:
    seen = drawn_events(0)
    definition = with_neighbours(definition_of(drawn_vectors(0), outcome_delay=4), events_of(seen))
    definition.save(tmp_path)
    again = HistoryDefinition.load(tmp_path)
    assert (again.user.fingerprint, again.item.fingerprint) == (
        definition.user.fingerprint,
        definition.item.fingerprint,
    )
    rows = events_of([Seen(f"u{n % 5}", f"i{n % 8}", (210 + n) * SECOND, 0.0) for n in range(20)])
    found, expected = (history_rows(d, events_of(seen), rows, neighbour_steps=0) for d in (again, definition))
    np.testing.assert_array_equal(found, expected)


def test_the_table_of_all_events_equals_the_oracle() -> None:
    seen, vectors = drawn_events(1), drawn_vectors(1)
    definition = with_neighbours(definition_of(vectors), events_of(seen))
    oracle = oracle_of(seen, vectors, definition)
    rows = [Seen("u1", f"i{n}", 300 * SECOND, 0.0) for n in range(8)]
    found = history_rows(definition, events_of(seen), events_of(rows), neighbour_steps=0)[:, -1]
    expected = [oracle.neighbours("u1", row.item, row.time, table_time=10**12) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=3e-6)


def test_other_vectors_make_another_state() -> None:
    one, other = definition_of(drawn_vectors(0)), definition_of(drawn_vectors(1))
    assert one.user.fingerprint != other.user.fingerprint
    assert one.item.fingerprint == other.item.fingerprint


def test_a_damaged_definition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is damaged"):
        HistoryDefinition.load(tmp_path)
    definition_of(drawn_vectors(0)).save(tmp_path)
    file = tmp_path / "history.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="is not the file that was saved"):
        HistoryDefinition.load(tmp_path)


def test_missing_vectors_are_named_with_the_mend() -> None:
    with pytest.raises(SpecError, match="vectors of both, which are not there: run 'llactr encode --values'"):
        HistoryDefinition(HistorySpec(), 0.5)


def test_one_outcome_only_is_refused() -> None:
    definition = definition_of(drawn_vectors(0))
    with pytest.raises(SpecError, match="share of clicks is 1: history needs both outcomes"):
        HistoryDefinition(definition.spec, 1.0, definition.vectors, categories=definition.categories)


def test_missing_categories_are_named() -> None:
    definition = definition_of(drawn_vectors(0))
    with pytest.raises(SpecError, match="count by genre, whose values are not there"):
        HistoryDefinition(definition.spec, 0.4, definition.vectors)


def test_other_categories_make_another_state_of_users() -> None:
    one = definition_of(drawn_vectors(0))
    other = replace(one, categories={"genre": ItemCategories.of(["i0", "i1"], [["a"], ["z"]])})
    assert one.user.fingerprint != other.user.fingerprint
    assert one.item.fingerprint == other.item.fingerprint


def test_categories_are_sorted_by_the_items_hashes_and_counted_once() -> None:
    found = ItemCategories.of(["x", "y", "z"], [["b", "a", "b"], [], ["a"]])
    order = np.argsort(key_hashes(["x", "y", "z"]))
    assert np.diff(found.starts).tolist() == [[2, 0, 1][at] for at in order]
    assert len(set(found.values.tolist())) == 2
    with pytest.raises(DataError, match="sorted, each once"):
        ItemCategories(found.items, found.starts[:-1], found.values)
