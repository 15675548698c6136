from __future__ import annotations

import re

import pytest

from llactr.errors import SpecError
from llactr.store.names import PhysicalNames
from tests.store.store_workspace import categorical, spec_of

NASTY = [
    "Watch time (min)", "select", "x@v2", "rating_y", "__init__", "a__b", 'quo"te', "it's", "漢字", "Alter", "1st",
    "event_expire_timestamp", "rn", "entity_row_id", "field", "vector", "a,b;c", "x" * 100,
]  # fmt: skip


def test_plain_names_stay_as_they_are() -> None:
    names = PhysicalNames(spec_of([categorical("age", "user"), categorical("release_year", "item")], name="my-set"))
    assert names.features == {"age": "age", "release_year": "release_year"}
    assert (names.view("user"), names.view("item"), names.service) == ("my_set__user", "my_set__item", "my_set__ctr")
    assert names.join_key("user") == "user_id"


def test_every_other_name_becomes_a_plain_one_of_its_own() -> None:
    features = PhysicalNames(spec_of([categorical(name, "user") for name in NASTY])).features
    assert list(features) == NASTY
    assert len(set(features.values())) == len(NASTY)
    for physical in features.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", physical), physical
        assert not physical.endswith("_y")
        assert "__" not in physical
        assert len(physical) < 64
    assert features["Watch time (min)"].startswith("watch_time_min_")
    assert features["select"] == "select"  # every SQL in the way quotes its names
    assert features["rn"] != "rn"


def test_a_feature_is_never_named_like_a_join_key_of_either_entity() -> None:
    spec = spec_of(
        [categorical("user key 1c2d", "user"), categorical("age", "user")],
        user={"join_key": "user key", "source": "users"},
    )
    names = PhysicalNames(spec)
    assert re.fullmatch(r"user_key_[0-9a-f]{8}", names.join_key("user"))
    assert names.join_key("user") not in names.features.values()


def test_a_field_that_reads_the_join_key_is_no_column() -> None:
    names = PhysicalNames(spec_of([categorical("who", "user", "user_id"), categorical("age", "user")]))
    assert [f.name for f in names.stored_fields("user")] == ["age"]
    assert names.stored_fields("item") == ()


def test_a_join_key_cannot_be_read_as_a_number() -> None:
    number = {"name": "who", "description": "who it is", "owner": "user", "kind": "numeric", "source_column": "user_id"}
    with pytest.raises(
        SpecError, match=r"'who' of dataset 'small' reads the join key 'user_id' as numeric.*make it categorical"
    ):
        PhysicalNames(spec_of([number, categorical("age", "user")]))
