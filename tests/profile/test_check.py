"""All that is wrong with a spec is listed at once, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from llactr.errors import SpecError
from llactr.jobs.cli import app
from llactr.profile import check_spec
from llactr.spec.descriptions import poor_descriptions
from tests.jobs.tiny_dataset import write_dataset
from tests.specs import field, spec_of

WRONG = """\
name: Shop!
sources:
  events: {path: events.csv, format: csv}
  people: {path: people.csv, format: cvs}
  dishes: {path: dishes.csv, format: csv}
  spare: {path: spare.csv, format: csv}
events: event
timestamp: {column: at}
label: {column: star, above: 3}
entities:
  user: {join_key: person, source: people}
  item: {join_key: dish, source: dishes}
fields:
  - {name: person, description: who eats, owner: user, kind: categorical}
  - {name: job, description: what the person does, owner: users, kind: categorical}
  - {name: age, description: how old the person is, owner: user, kind: number}
  - {name: dish, description: what is eaten, owner: item, kind: categorical, value_text: [tags, colour]}
  - {name: tags, description: what is in it, owner: item, kind: numeric}
  - {name: device, description: where the order came from, owner: context, kind: categorical, min_counts: 3}
  - {name: devise, description: what is in it, owner: context, kind: categorical}
  - {name: hour, description: the hour of the day, owner: context, kind: timestamp_part, part: hours}
splits: {train: 0.9}
"""


def test_everything_wrong_is_listed_with_its_line(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (tmp_path / "wrong.yaml").write_text(WRONG, encoding="utf-8")
    found = check_spec(tmp_path / "wrong.yaml")
    expected = {
        1: "'name' is 'Shop!'",
        4: "'sources.people.format' is 'cvs'",
        6: "source 'spare' is read by nothing",
        7: "events reads source 'event'",
        8: "holds whole numbers such as 1700000000: give it a 'unit'",
        9: "no column 'star': did you mean 'stars'?",
        15: "'owner' is 'users'",
        16: "unknown kind 'number'",
        17: "takes its value_text from ['tags', 'colour']",
        18: "which is no number",
        19: "unknown key 'min_counts', did you mean 'min_count'?",
        20: "no column 'devise': did you mean 'device'?",
        21: "'part' is 'hours'",
        22: "unknown key 'splits', did you mean 'split'?",
    }
    lines = {int(text.split(":")[1]): text for text in found.wrong}
    assert sorted(lines) == sorted(expected)
    for line, text in expected.items():
        assert text in lines[line]
    assert found.rows is None
    assert any("fields 'tags' and 'devise' have one description" in text for text in found.doubts)


def test_a_right_spec_is_tried_on_its_data(tmp_path: Path) -> None:
    found = check_spec(write_dataset(tmp_path))
    assert found.wrong == ()
    assert found.rows is not None
    assert found.rows > 500
    assert not (tmp_path / ".llactr").exists()


def test_what_only_shows_in_the_rows_is_found(tmp_path: Path) -> None:
    lines = [f"p{n % 30},d{n % 20},{'ab'[n % 2]},x,{1_700_000_000 + 60 * n},{n % 2}" for n in range(500)]
    (tmp_path / "e.csv").write_text("person,dish,tells,same,at,liked\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "dishes.csv").write_text(
        "dish,colour\n" + "\n".join(f"D{n},red\nD{n},blue" for n in range(20)) + "\n", encoding="utf-8"
    )
    (tmp_path / "s.yaml").write_text(
        "name: tells\nsources:\n  e: {path: e.csv, format: csv}\n  dishes: {path: dishes.csv, format: csv}\nevents: e\n"
        "timestamp: {column: at, unit: s}\nlabel: {column: liked}\nentities:\n  user: {join_key: person}\n"
        "  item: {join_key: dish, source: dishes}\nfields:\n"
        "  - {name: tells, description: says it all, owner: context, kind: categorical}\n"
        "  - {name: same, description: says nothing, owner: context, kind: categorical}\n"
        "  - {name: colour, description: how it looks, owner: item, kind: categorical}\n",
        encoding="utf-8",
    )
    found = check_spec(tmp_path / "s.yaml")
    assert [text for text in found.wrong if "several rows for dish 'D0' at one time" in text]
    (tmp_path / "dishes.csv").write_text(
        "dish,colour\n" + "\n".join(f"D{n},red" for n in range(20)) + "\n", encoding="utf-8"
    )
    found = check_spec(tmp_path / "s.yaml")
    assert [text for text in found.wrong if "500 of 500 events find no row in the item table" in text]
    (tmp_path / "dishes.csv").write_text(
        "dish,colour\n" + "\n".join(f"d{n},red" for n in range(20)) + "\n", encoding="utf-8"
    )
    found = check_spec(tmp_path / "s.yaml")
    assert found.wrong == ()
    said = "\n".join(found.doubts)
    assert "s.yaml:12: field 'tells' tells the label by its value alone (AUC 1.000)" in said
    assert "s.yaml:13: field 'same' has the same value in all rows" in said
    assert "the test split has 25 clicks, fewer than 100" in said


def test_the_command_ends_with_2_where_something_is_wrong(tmp_path: Path) -> None:
    spec = write_dataset(tmp_path, events="nothing")
    found = CliRunner().invoke(app, ["init", "--check", str(spec), "--workspace", str(tmp_path / "w")])
    assert found.exit_code == 2
    assert "events reads source 'nothing'" in found.output
    both = CliRunner().invoke(app, ["init", "t.csv", "--check", str(spec)])
    assert both.exit_code == 2
    assert "give one of the two" in both.output + both.stderr


@pytest.mark.parametrize(("content", "message"), [("a: [", "is not YAML"), ("- 1", "holds list")])
def test_what_is_no_spec_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        check_spec(tmp_path / "s.yaml")


def test_descriptions_that_say_nothing() -> None:
    spec = spec_of(
        field("person", "user", description="who watches"),
        field("device_type", description="the type of the device"),
        field("hour", description="When the film  was seen"),
        field("moment", description="when the film was seen"),
    )
    assert poor_descriptions(spec) == (
        "field 'device_type' is described as 'the type of the device', which says no more than its name: say in plain "
        "words what its values mean",
        "fields 'hour' and 'moment' have one description, 'when the film was seen': a language model cannot tell them "
        "apart",
    )
