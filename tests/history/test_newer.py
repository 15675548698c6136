"""Items newer than training: placed as in training, and after that no different from those that training knew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llactr.errors import StoreError
from llactr.history import (
    Event,
    HistoryDefinition,
    ItemCategories,
    ItemForm,
    ItemSources,
    ItemVectors,
    KeyState,
    KeyStates,
    NewerItems,
    features,
    fit_history,
    history_rows,
    key_hashes,
    placed,
    push,
)
from llactr.spec import HistorySpec
from tests.history.test_fitting import events
from tests.history.test_passes import SECOND, definition_of, drawn_events, drawn_vectors, events_of

LATE = ["i1", "i4", "i6"]


def parted(definition: HistoryDefinition) -> HistoryDefinition:
    """The definition without some items, and these as newer ones."""
    late = key_hashes(LATE)
    vectors, genres = definition.vectors["text"], definition.categories["genre"]
    values = {int(item): genres.values[a:b] for item, a, b in zip(genres.items, genres.starts, genres.starts[1:])}  # noqa: B905

    def some(mine: bool) -> tuple[ItemVectors, ItemCategories]:
        chosen, items = np.isin(vectors.items, late) == mine, genres.items[np.isin(genres.items, late) == mine]
        lists = [values[int(item)] for item in items]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        codes = np.concatenate([np.empty(0, np.uint32), *lists])
        return ItemVectors(vectors.items[chosen], vectors.vectors[chosen]), ItemCategories(items, starts, codes)

    known, newer = some(False), some(True)
    base = replace(definition, vectors={"text": known[0]}, categories={"genre": known[1]})
    return base.with_newer(NewerItems({"text": newer[0]}, {"genre": newer[1]}))


@pytest.mark.parametrize("delay", [0, 7])
def test_the_pass_and_pushes_see_no_difference(delay: int) -> None:
    seen, vectors = drawn_events(0), drawn_vectors(0)
    whole = definition_of(vectors, outcome_delay=delay)
    later, without = parted(whole), parted(whole).with_newer(NewerItems())
    happened = events_of(seen)
    expected = history_rows(whole, happened, neighbour_steps=0)
    np.testing.assert_array_equal(history_rows(later, happened, neighbour_steps=0), expected)
    assert not np.array_equal(history_rows(without, happened, neighbour_steps=0), expected, equal_nan=True)
    user, item = KeyState.empty(later, later.user), KeyState.empty(later, later.item)
    rows = [at for at, one in enumerate(seen) if one.user == "u2"]
    for number, at in enumerate(rows):
        now = int(happened.time[at])
        found = features(later, user.at(now), KeyStates.stack([item.at(now)]), happened.item[at : at + 1], now)
        own = [at for at, name in enumerate(later.spec.field_names) if "item" not in name]
        np.testing.assert_array_equal(found[0, own], expected[at, own], err_msg=f"event {number}")
        event = Event(int(happened.user[at]), int(happened.item[at]), now, float(happened.outcome[at]))
        alone = push(later, user, item_before(later, seen, at), event)
        user = alone.user


def item_before(definition: HistoryDefinition, seen: list, at: int) -> KeyState:  # type: ignore[type-arg]
    """The state of the item of an event, before it."""
    state, counted = KeyState.empty(definition, definition.item), set()
    for other in seen[:at]:
        if other.item == seen[at].item and (other.user, other.time) not in counted:
            counted.add((other.user, other.time))
            state = state.add(int(key_hashes([other.user])[0]), other.time, other.outcome)
    return state


def test_versions_and_states_stay_what_they_are() -> None:
    whole = definition_of(drawn_vectors(0))
    later = parted(whole)
    base = later.with_newer(NewerItems())
    assert (later.version, later.user.fingerprint) == (base.version, base.user.fingerprint)
    assert base.version != whole.version
    state = KeyState.empty(base, base.user).add(int(key_hashes(["i1"])[0]), SECOND, 0.5)
    assert KeyState.from_bytes(later, later.user, state.to_bytes()).to_bytes() == state.to_bytes()
    assert later.with_newer(later.newer) is later


def sources(items: list[str], form: ItemForm | None = None) -> ItemSources:
    """Items whose raw vectors depend on their names alone."""
    rows = [np.random.default_rng(int(name[1:]) % 9).normal(size=9).astype(np.float32) for name in items]
    raw = np.stack(rows)
    return ItemSources(tuple(items), (raw[:, :4] > 0).astype(np.float32), raw[:, 4:], form=form or ItemForm())


def test_an_item_that_comes_later_has_the_vector_that_training_would_have_given() -> None:
    known = [f"i{n}" for n in range(9)]
    rows = events()
    fitted = fit_history(HistorySpec(), sources(known), rows, training=np.arange(150), before=int(rows.time[150]))
    definition = fitted.definition
    assert definition.form is not None
    found = placed(definition, sources(["i12", "i16"], definition.form))  # what i3 and i7 are like
    both = definition.vectors["both"]
    for new, old in (("i12", "i3"), ("i16", "i7")):
        mine = found.vectors["both"].vectors[found.vectors["both"].items == key_hashes([new])[0]]
        np.testing.assert_array_equal(mine, both.vectors[both.items == key_hashes([old])[0]])
    assert not len(placed(replace(definition, form=None), sources(["i12"])).items)
    empty = replace(sources(["i12"], definition.form), categories=np.zeros((1, 4), np.float32), text=np.zeros((1, 5)))
    assert not len(placed(definition, empty).items), "nothing is known of it"


def test_a_placebo_places_nothing() -> None:
    rows, known = events(), [f"i{n}" for n in range(9)]
    for change in (lambda v: v.permuted(0), lambda v: v.random(0)):
        fitted = fit_history(
            HistorySpec(), sources(known), rows, training=np.arange(150), before=int(rows.time[150]), change=change
        )
        assert not len(placed(fitted.definition, sources(["i12"], fitted.definition.form)).items)


def test_what_was_fitted_is_saved(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows, known = events(), [f"i{n}" for n in range(9)]
    given = sources(known, ItemForm({"tags": ("a", "b")}, "v1", 5))
    definition = fit_history(HistorySpec(), given, rows, training=np.arange(150), before=int(rows.time[150])).definition
    definition.with_newer(placed(definition, sources(["i12"], definition.form))).save(tmp_path)
    again = HistoryDefinition.load(tmp_path)
    assert (again.version, again.form) == (definition.version, definition.form)
    assert not len(again.newer.items), "they are the store's"
    one, other = (placed(some, sources(["i12", "i13"], some.form)).to_bytes() for some in (again, definition))
    assert one == other


def test_bytes_and_what_changed() -> None:
    newer = parted(definition_of(drawn_vectors(0))).newer
    again = NewerItems.from_bytes(newer.to_bytes())
    assert not len(again.changed(newer))
    np.testing.assert_array_equal(again.items, np.sort(key_hashes(LATE)))
    assert not len(NewerItems.from_bytes(None).items)
    np.testing.assert_array_equal(newer.changed(NewerItems()), np.sort(key_hashes(LATE)))
    moved = newer.vectors["text"].vectors.copy()
    moved[1] += 1
    other = replace(newer, vectors={"text": replace(newer.vectors["text"], vectors=moved)})
    np.testing.assert_array_equal(other.changed(newer), newer.vectors["text"].items[1:2])
    with pytest.raises(StoreError, match=r"items newer than training is damaged .*: run 'llactr materialize --force'"):
        NewerItems.from_bytes(newer.to_bytes()[:-3])
