from __future__ import annotations

import pytest

from llactr.ctr.history_arms import HISTORY_ARMS, HistoryArm, history_input, parted
from llactr.errors import InputError
from llactr.spec import HistorySpec, TasteField, WindowField

DEFAULTS = HistorySpec()
WINDOWS = ("user_count", "user_rate", "item_count", "item_rate")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("items", ("item_count", "item_rate")),
        ("items taste", ("item_count", "item_rate", "taste_regression", "taste_similarity", "taste_nearest",
                         "taste_item_item")),
        ("history", (*WINDOWS, "taste_level", "taste_recent")),
        ("history taste", DEFAULTS.field_names),
        ("history taste item-item", (*WINDOWS, "taste_level", "taste_recent", "taste_item_item")),
        ("history taste text", (*WINDOWS, "taste_level", "taste_recent", "taste_regression", "taste_similarity",
                                  "taste_nearest")),
    ],
)  # fmt: skip
def test_the_fields_of_an_arm(name: str, fields: tuple[str, ...]) -> None:
    assert HISTORY_ARMS[name].spec(DEFAULTS).field_names == fields


def test_one_kind_of_vectors_takes_the_place_of_another() -> None:
    fields = HISTORY_ARMS["history taste categories"].spec(DEFAULTS).fields
    assert {field.vectors for field in fields if isinstance(field, TasteField)} == {"categories"}
    by_both = TasteField(name="a", description="the one", kind="taste", vectors="both", measure="nearest")
    by_text = by_both.model_copy(update={"name": "b", "vectors": "text"})
    found = HISTORY_ARMS["items taste text"].spec(HistorySpec(fields=(by_both, by_text)))
    assert [(field.name, field.vectors) for field in found.fields if isinstance(field, TasteField)] == [("a", "text")]


def test_windows_of_pairs_are_taste_by_categories() -> None:
    pair = WindowField.model_validate(
        {"name": "genre_rate", "description": "of the genre", "kind": "window", "owner": "pair", "with": "genres",
         "measure": "rate"}
    )  # fmt: skip
    section = HistorySpec(fields=(*DEFAULTS.fields, pair))
    reads = {name for name, arm in HISTORY_ARMS.items() if "genre_rate" in arm.spec(section).field_names}
    assert reads == {"items taste", "items taste categories", "history taste", "history taste categories"}
    assert "genre_rate" not in history_input(section).additive


def test_a_section_without_a_field_of_the_arm_is_refused() -> None:
    own = WindowField(name="seen", description="of the user", kind="window", owner="user", measure="count")
    with pytest.raises(InputError, match="'history' has no field for the arm 'items taste': list some"):
        HISTORY_ARMS["items taste"].spec(HistorySpec(fields=(own,)))


@pytest.mark.parametrize(
    ("name", "base", "past"),
    [
        ("plain", "plain", None), ("history", "plain", "history"), ("values items taste", "values", "items taste"),
        ("both history taste text", "both", "history taste text"),
        ("history paper", "history paper", None), ("history taste random", "history taste random", None),
    ],
)  # fmt: skip
def test_names_come_apart(name: str, base: str, past: str | None) -> None:
    assert parted(name) == (base, HISTORY_ARMS[past] if past else None)


def test_an_arm_is_called_what_it_is_looked_up_by() -> None:
    assert len(HISTORY_ARMS) == 10
    assert all(str(arm) == name for name, arm in HISTORY_ARMS.items())
    assert HistoryArm("items", "item-item").reads_vectors is False
    assert HistoryArm("items", "categories").reads_texts is False
    assert HistoryArm("history", "all").reads_texts is True


def test_what_is_the_users_own_reorders_nothing() -> None:
    config = history_input(DEFAULTS)
    assert config.names == DEFAULTS.field_names
    assert config.additive == ("user_count", "user_rate", "taste_level", "taste_recent")
