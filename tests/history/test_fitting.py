"""What is fitted, on training rows alone, and what a definition makes do with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llactr.errors import SpecError
from llactr.history import Events, HistoryDefinition, ItemSources, fit_history, key_hashes
from llactr.spec import HistorySpec, TasteField

SECOND = 1_000_000


def events(count: int = 200, seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    users = [f"u{n}" for n in rng.integers(0, 12, count)]
    items = [f"i{n}" for n in rng.integers(0, 9, count)]
    return Events.of(users, items, np.arange(count) * SECOND, rng.integers(0, 2, count).astype(np.float32))


def sources(*, categories: bool = True, text: bool = True) -> ItemSources:
    rng = np.random.default_rng(3)
    items = tuple(f"i{n}" for n in range(9))
    vectors = rng.normal(size=(9, 5)).astype(np.float32)
    vectors[4] = 0  # an item without a text
    return ItemSources(
        items,
        (rng.random((9, 4)) < 0.5).astype(np.float32) if categories else None,
        vectors if text else None,
    )


def fitted(spec: HistorySpec, given: ItemSources, rows: Events | None = None):  # type: ignore[no-untyped-def]
    rows = events() if rows is None else rows
    return fit_history(spec, given, rows, training=np.arange(150), before=int(rows.time[150]))


def test_nothing_after_training_is_seen() -> None:
    rows = events()
    changed = replace(rows, outcome=np.concatenate([rows.outcome[:150], 1 - rows.outcome[150:]]))
    one, other = (fitted(HistorySpec(), sources(), some).definition for some in (rows, changed))
    assert one.version == other.version
    assert one.overall_rate == pytest.approx(rows.outcome[:150].mean())
    flipped = replace(rows, outcome=np.concatenate([1 - rows.outcome[:1], rows.outcome[1:]]))
    assert fitted(HistorySpec(), sources(), flipped).definition.version != one.version


def test_the_pca_is_of_items_seen_in_training() -> None:
    rows, given = events(), sources()
    late = rows.item != key_hashes(["i8"])[0]
    rows = rows.take(np.flatnonzero(late | (np.arange(len(rows)) >= 150)))
    assert given.text is not None
    moved = given.text.copy()
    moved[8] = 50  # far away: it would be the first component
    spec = HistorySpec(
        fields=(TasteField(name="t", description="text", kind="taste", vectors="text", measure="nearest"),)
    )
    count = int((np.arange(200) < 150)[late | (np.arange(200) >= 150)].sum())
    arguments = {"training": np.arange(count), "before": int(rows.time[count])}
    one = fit_history(spec, given, rows, **arguments).definition.vectors["text"]
    other = fit_history(spec, replace(given, text=moved), rows, **arguments).definition.vectors["text"]
    seen = one.items != key_hashes(["i8"])[0]
    np.testing.assert_allclose(one.vectors[seen], other.vectors[seen], atol=1e-5)
    assert not np.allclose(one.vectors[~seen], other.vectors[~seen])


def test_an_item_without_a_text_has_no_vector() -> None:
    spec = HistorySpec(
        fields=(TasteField(name="t", description="text", kind="taste", vectors="text", measure="nearest"),)
    )
    found = fitted(spec, sources()).definition.vectors["text"]
    assert len(found.items) == 8
    assert key_hashes(["i4"])[0] not in found.items


@pytest.mark.parametrize(
    ("given", "note"),
    [
        (sources(), ()),
        (sources(text=False), ("no texts of items have been encoded: taste compares items by their categories",)),
        (sources(categories=False), ("items have no categories: taste compares them by their texts",)),
    ],
)
def test_both_takes_what_there_is_and_says_so(given: ItemSources, note: tuple[str, ...]) -> None:
    found = fitted(HistorySpec(), given)
    assert found.notes == note
    assert found.definition.spec == HistorySpec()


def test_without_any_vectors_the_level_and_the_item_item_table_are_left() -> None:
    found = fitted(HistorySpec(), sources(text=False, categories=False))
    assert found.definition.spec.field_names == (
        "user_count", "user_rate", "item_count", "item_rate", "taste_level", "taste_recent",
        "taste_item_item",
    )  # fmt: skip
    assert found.notes == (
        "items have neither categories nor encoded texts: history has no taste but the item-item one",
    )


def test_a_source_that_is_named_and_not_there_is_refused() -> None:
    spec = HistorySpec(
        fields=(TasteField(name="t", description="text", kind="taste", vectors="text", measure="nearest"),)
    )
    with pytest.raises(SpecError, match="history fields read vectors of text, which are not there: run 'llactr encode"):
        fitted(spec, sources(text=False))
    spec = HistorySpec(fields=(TasteField(name="t", description="both", kind="taste", measure="nearest"),))
    with pytest.raises(SpecError, match="and there is neither: give items categorical or multi_valued fields"):
        fitted(spec, sources(text=False, categories=False))


def test_a_placebo_changes_the_vectors_and_nothing_else() -> None:
    plain = fitted(HistorySpec(), sources()).definition
    rows = events()
    placebo = fit_history(
        HistorySpec(),
        sources(),
        rows,
        training=np.arange(150),
        before=int(rows.time[150]),
        change=lambda v: v.permuted(1),
    ).definition
    assert placebo.version != plain.version
    assert not np.array_equal(placebo.vectors["both"].vectors, plain.vectors["both"].vectors)
    np.testing.assert_array_equal(placebo.neighbours.weights, plain.neighbours.weights)


def test_a_definition_of_some_fields(tmp_path) -> None:  # type: ignore[no-untyped-def]
    whole = fitted(HistorySpec(), sources()).definition
    items = whole.only(("item_rate", "item_count"))
    assert items.spec.field_names == ("item_count", "item_rate")
    assert items.vectors == {}
    assert not len(items.neighbours.keys)
    assert len({whole.version, items.version, whole.only(whole.spec.field_names[:6]).version}) == 3
    whole.save(tmp_path)
    assert HistoryDefinition.load(tmp_path).version == whole.version
