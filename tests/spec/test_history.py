from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from llactr.errors import SpecError
from llactr.spec import HistorySpec, TasteField, WindowField, dump_spec, load_spec

SPECS = Path(__file__).resolve().parents[2] / "llactr" / "specs"


def written(tmp_path: Path, history: Any, **changes: Any) -> Path:
    content = yaml.safe_load((SPECS / "movielens-100k.yaml").read_text()) | {"history": history} | changes
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def window(**changes: Any) -> dict[str, Any]:
    return {
        "name": "item_rate", "description": "how often it is clicked", "kind": "window", "owner": "item",
        "measure": "rate",
    } | changes  # fmt: skip


def test_a_spec_without_history_has_none() -> None:
    assert load_spec(SPECS / "movielens-100k.yaml").history is None


def test_an_empty_section_means_the_defaults(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, {}))
    assert spec.history == HistorySpec()
    assert spec.history is not None
    assert spec.history.field_names == (
        "user_count", "user_rate", "item_count", "item_rate", "taste_level", "taste_recent",
        "taste_regression", "taste_similarity", "taste_nearest", "taste_item_item",
    )  # fmt: skip
    path = tmp_path / "again.yaml"
    path.write_text(dump_spec(spec))
    assert load_spec(path) == spec


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("1.5d", 129600), (7, 7)])
def test_durations(text: Any, seconds: float) -> None:
    assert HistorySpec(outcome_delay=text).outcome_delay == seconds
    assert HistorySpec(outcome_delay=text).delay_us == seconds * 1_000_000


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"lst": 5}, "unknown key 'lst', did you mean 'last'"),
        ({"outcome_delay": "soon"}, "'soon' is no duration"),
        ({"last": 1000}, "less than or equal to 200"),
        ({"fields": [window(last="7d", half_life="1d")]}, "two kinds of windows"),
        ({"fields": [window(owner="pair")]}, "'with' names the item field of a window whose owner is 'pair'"),
        ({"fields": [window(**{"with": "genre"})]}, "'with' names the item field of a window whose owner is 'pair'"),
        ({"fields": [window(owner="pair", last="7d", **{"with": "genre"})]}, "leave 'last' out"),
        ({"fields": [window(owner="pair", **{"with": "age"})]}, "counts with 'age': expected a categorical or"),
        ({"fields": [window(), window()]}, "'item_rate' is listed twice"),
        ({"fields": [window(name="genres")]}, "history field 'genres' has the name of another field"),
        ({"fields": [window(description="x")]}, "at least 3 characters"),
        ({"fields": [{**window(), "kind": "windw"}]}, "unknown kind 'windw'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, history: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(written(tmp_path, history))


def test_history_needs_both_entities(tmp_path: Path) -> None:
    entities = {"user": {"join_key": "user_id", "source": "users"}}
    fields = [
        {"name": name, "description": f"the {name}", "owner": "user", "kind": "categorical"} for name in ("age", "sex")
    ]
    with pytest.raises(SpecError, match="'history' needs entities 'user' and 'item', 'item' is missing"):
        load_spec(written(tmp_path, {}, entities=entities, fields=fields))


def test_item_item_has_one_measure() -> None:
    with pytest.raises(ValidationError, match="'similarity' only, not 'regression'"):
        TasteField(name="x", description="what it is", kind="taste", vectors="item_item", measure="regression")


def test_a_tier_has_room() -> None:
    with pytest.raises(ValidationError, match=r"'above' 0\.8 must be less than 'below' 0\.5"):
        TasteField(
            name="x", description="what it is", kind="taste", measure="liked_near", above=0.8, below=0.5
        )  # fmt: skip


def test_all_time_is_the_default_window() -> None:
    field = WindowField.model_validate(window())
    assert field.last is None
    assert field.half_life is None


def test_pairs_are_written_and_read_again(tmp_path: Path) -> None:
    fields = [window(owner="pair", half_life="30d", **{"with": "item_id"})]
    spec = load_spec(written(tmp_path, {"fields": fields}))
    assert spec.history is not None
    (field,) = spec.history.fields
    assert isinstance(field, WindowField)
    assert field.category == "item_id"
    path = tmp_path / "again.yaml"
    path.write_text(dump_spec(spec))
    assert load_spec(path) == spec
