from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from llactr.errors import SpecError
from llactr.spec import CategoricalField, DatasetSpec, MultiValuedField, TimestampPartField, dump_spec, load_spec

EXAMPLE = Path(__file__).parents[2] / "llactr" / "specs" / "movielens-100k.yaml"


def _changed(tmp_path: Path, old: str, new: str) -> Path:
    """The example with one place changed."""
    text = EXAMPLE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "spec.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_example_has_the_eleven_fields_in_order() -> None:
    spec = load_spec(EXAMPLE)
    assert spec.field_names == (
        "user_id", "age", "gender", "occupation", "zip_code",
        "item_id", "movie_title", "release_year", "genres", "hour", "weekday",
    )  # fmt: skip
    assert [f.owner for f in spec.fields] == ["user"] * 5 + ["item"] * 4 + ["context"] * 2
    kinds = [type(f) for f in spec.fields]
    assert kinds == [CategoricalField] * 8 + [MultiValuedField] + [TimestampPartField] * 2
    assert (spec.label.column, spec.label.above, spec.label.drop) == ("rating", 3, (3,))
    assert (spec.split.train, spec.split.validation) == (0.8, 0.1)
    assert spec.recipe == "movielens-100k"
    assert spec.identifier == "movielens_100k"


def test_descriptions_are_plain_words_and_differ() -> None:
    descriptions = [f.description for f in load_spec(EXAMPLE).fields]
    assert len(set(descriptions)) == 11
    assert all(len(text.split()) >= 4 and "_" not in text for text in descriptions)


def test_dumped_spec_loads_to_an_equal_one(tmp_path: Path) -> None:
    spec = load_spec(EXAMPLE)
    path = tmp_path / "resolved.yaml"
    path.write_text(dump_spec(spec), encoding="utf-8")
    assert load_spec(path) == spec
    assert yaml.safe_load(dump_spec(spec))["fields"][0]["min_count"] == 1, "defaults are spelled out"


def test_dump_keeps_characters_of_every_script(tmp_path: Path) -> None:
    path = _changed(tmp_path, "the title of the film", "«название» 映画 'quoted' \"twice\"")
    spec = load_spec(path)
    path.write_text(dump_spec(spec), encoding="utf-8")
    assert load_spec(path).field("movie_title").description == "«название» 映画 'quoted' \"twice\""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: categorical", "kind: category", r"field 'user_id': unknown kind 'category', expected one of 'cat"),
        ("    kind: categorical\n", "", r"field 'user_id' has no 'kind', expected one of 'categorical', 'numeric'"),
        ("label: {", "lable: {", r"unknown key 'lable', did you mean 'label'\?"),
        ("part: hour", "prat: hour", r"field 'hour': unknown key 'prat', did you mean 'part'\?"),
        ("split:", "zzz: 1\nsplit:", r"unknown key 'zzz', known are name, description, recipe"),
        ("unit: s", "unit: sec", r"'timestamp.unit' is 'sec': input should be 's', 'ms', 'us' or 'ns'"),
        ("unit: s", "zone: Mars/X", r"unknown zone 'Mars/X', expected a name such as UTC"),
        ("unit: s", "unit: s, zone: UTC", r"'unit' counts from 1970 in UTC and 'zone' is for local times"),
        ("- name: age", "- name: gender", r"field 'gender' is listed twice"),
        ("- name: age", "- name: Gender", r"field 'gender' differs from 'Gender' only in case"),
        ("- name: age", "- name: label", r"'label' is a reserved name"),
        ("- name: age", "- name: 'a:b'", r"'a:b' holds a colon"),
        ("- name: age", "- name: 'a\tb'", r"cannot be a name"),
        ("- name: age", "- name: item_id", r"field 'item_id' has the name of item's join key 'item_id' but is not it"),
        ("- name: hour", "- name: x\n    source_column: rating", r"field 'x' reads the label column 'rating'"),
        ("name: movielens-100k", "name: Movie Lens", r"'name' is 'Movie Lens': use lower-case letters"),
        ("above: 3", "above: high", r"'label.above' is 'high': input should be a valid number"),
        ("events: ratings", "events: x", r"events reads source 'x', which is not among \['items', 'ratings'"),
        ("owner: user", "owner: usr", r"field 'user_id', 'owner' is 'usr'"),
        ("train: 0.8", "train: 0.95", r"train 0.95 and validation 0.1 leave nothing for the test split"),
        ("path: users.parquet, format: parquet", "path: u, format: duckdb", r"'table' is needed for format duckdb"),
        ("format: parquet", "format: csv, separator: ab", r"'separator' is 'ab', expected one character"),
        ("join_key: item_id", "join_key: user_id", r"user and item share the join key 'user_id'"),
        (", source: users}", "}", r"field 'age' .* 'user', which has no source"),
        ("  item: {join_key: item_id, source: items}\n", "", r"field 'item_id' .* 'item', which 'entities' does not"),
        ("source: users}", "source: users, created: {column: c}}", r"'created' needs 'timestamp'"),
        ("split:", "events: twice\nsplit:", r"is not YAML: the key 'events' is given twice"),
        ("value_text: true", "value_text: [age]", r"field 'occupation' .* which only a field that reads its entity's join"),
        ("[movie_title,", "[age,", r"field 'item_id' takes its value_text from \['age', .* expected some of"),
        ("kind: timestamp_part\n", "kind: timestamp_part\n    value_text: true\n", r"unknown key 'value_text'"),
        ("events: ratings\n", "", r"'events' is missing"),
        ("events: ratings", "events: [", r"is not YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = _changed(tmp_path, old, new)
    with pytest.raises(SpecError, match=message) as caught:
        load_spec(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no dataset spec at .*nowhere.yaml: give the path of a YAML file"):
        load_spec(tmp_path / "nowhere.yaml")


def test_a_list_is_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(SpecError, match=r"holds list, expected keys such as 'name', 'fields'"):
        load_spec(path)


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "spec.yaml"
    path.write_text(f"name: !!python/object/apply:os.system ['touch {marker}']\n")
    with pytest.raises(SpecError, match="is not YAML"):
        load_spec(path)
    assert not marker.exists()


def test_a_spec_is_frozen() -> None:
    spec = load_spec(EXAMPLE)
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]
    assert isinstance(spec, DatasetSpec)


def test_text_fields_are_those_with_a_value_text() -> None:
    spec = load_spec(EXAMPLE)
    assert [field.name for field in spec.text_fields] == ["occupation", "item_id"]
    assert spec.field("item_id").value_text == ("movie_title", "release_year", "genres")
    assert spec.field("occupation").value_text is True
    assert spec.field("genres").value_text is False  # the item's text says it already
