"""Drafts of tables that people bring: the right roles and kinds, what spoils is found, and the spec ingests."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from llactr.datasets import write_offline_tables
from llactr.errors import DataError, InputError
from llactr.profile import Drafted, Question, StartOptions, start_spec
from llactr.spec import DatasetSpec, load_spec
from llactr.workspace import Workspace
from tests.profile.made_up import MADE_UP, Truth, make
from tests.profile.strangers import STRANGERS

CASES = MADE_UP | STRANGERS


def drafted(name: str, folder: Path) -> tuple[Drafted, DatasetSpec, Truth]:
    files, truth = make(name, folder, CASES)
    found = start_spec(files, StartOptions(out=folder / "drafts" / "spec.yaml", name="made-up", **truth.options))
    return found, load_spec(folder / "drafts" / "spec.yaml"), truth


@pytest.mark.parametrize("name", list(CASES))
def test_a_draft_finds_the_roles_and_what_spoils_and_ingests(name: str, tmp_path: Path) -> None:
    found, spec, truth = drafted(name, tmp_path)
    assert (found.label, found.time, found.user, found.item) == (truth.label, truth.time, truth.user, truth.item)
    for column in truth.left_out:
        assert column in found.left_out
    said = "\n".join([*found.findings, *found.costs])
    for words in truth.words:
        assert words in said
    summary = write_offline_tables(spec, Workspace.at(tmp_path / "workspace"), tmp_path / "drafts")
    assert summary.rows == pytest.approx(found.rows, rel=0.02)
    assert summary.positives == pytest.approx(found.positives, abs=0.01)
    assert not any(lost > 0.25 * summary.rows for lost in summary.unmatched.values())


def test_kinds_are_right_for_95_percent_of_the_columns(tmp_path: Path) -> None:
    right, wrong = 0, []
    for number, name in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        found, _, truth = drafted(name, folder)
        for field in {*truth.kinds, *found.kinds}:
            allowed = truth.kinds.get(field, set())
            fits = found.kinds.get(field) in (allowed if isinstance(allowed, set) else {allowed})
            right += fits
            if not fits:
                wrong.append(f"{name}: {field} is {found.kinds.get(field)}, not {allowed}")
    assert right / (right + len(wrong)) >= 0.95, wrong


def test_every_field_has_its_reason_and_the_text_is_safe(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        'user,item,"a: # b",click,at\n'
        + "".join(
            f'u{n % 7},i{n % 5},"- [x]: {{y}} #{n % 3}",{n % 2},2024-01-01T{n % 24:02d}:00:00Z\n' for n in range(200)
        ),
        encoding="utf-8",
    )
    start_spec([str(tmp_path / "log.csv")], StartOptions(out=tmp_path / "spec.yaml"))
    text = (tmp_path / "spec.yaml").read_text(encoding="utf-8")
    spec = load_spec(tmp_path / "spec.yaml")
    assert "a_ # b" in spec.field_names  # a colon separates views from features
    fields = text.split("\nfields:\n")[1].split("\nsplit:")[0]
    for block in re.split(r"\n(?=  #)", fields):
        assert block.lstrip("\n").startswith("  #"), "a reason before each field"


def test_plain_tables_are_read_as_they_stand(tmp_path: Path) -> None:
    lines = [
        f"u{n % 40},i{n % 25},{1_700_000_000 + 60 * n},{int(n % 40 % 3 == n % 5 % 3)},{n % 3}" for n in range(1500)
    ]
    (tmp_path / "views.csv").write_text("shopper,ware,at,bought,slot\n" + "\n".join(lines) + "\n", encoding="utf-8")
    towns = ["Ulm", "Graz", "Bern"]
    people = "\n".join(f"u{n},{towns[n % 3]},{n * 3.5}" for n in range(40))
    (tmp_path / "people.csv").write_text(f"shopper,town,spent\n{people}\n", encoding="utf-8")
    files = [str(tmp_path / name) for name in ("people.csv", "views.csv")]
    found = start_spec(files, StartOptions(out=tmp_path / "spec.yaml"))
    spec = load_spec(tmp_path / "spec.yaml")
    assert found.tables == ()
    assert not (tmp_path / "spec-tables").exists()
    assert {name: source.path for name, source in spec.sources.items()} == {
        "views": "views.csv",
        "people": "people.csv",
    }
    assert spec.timestamp.unit == "s"
    assert spec.entities["user"].source == "people"
    assert spec.field("town").owner == "user"


def test_keys_in_two_spellings_are_written_alike(tmp_path: Path) -> None:
    rows = "\n".join(f"{n % 50},{n % 20},{1_700_000_000 + 60 * n},{int(hash((n, 3)) % 2)}" for n in range(1200))
    (tmp_path / "views.csv").write_text(f"user_id,item_id,time,click\n{rows}\n", encoding="utf-8")
    (tmp_path / "users.csv").write_text(
        "user_id,town\n" + "\n".join(f"{n:05d},{'Ulm' if n % 2 else 'Graz'}" for n in range(50)) + "\n",
        encoding="utf-8",
    )
    found = start_spec(
        [str(tmp_path / "views.csv"), str(tmp_path / "users.csv")], StartOptions(out=tmp_path / "s.yaml")
    )
    assert any("spelled otherwise" in text for text in found.findings)
    summary = write_offline_tables(load_spec(tmp_path / "s.yaml"), Workspace.at(tmp_path / "w"), tmp_path)
    assert summary.unmatched == {"user": 0}


def test_one_class_in_a_split_and_few_clicks_are_found(tmp_path: Path) -> None:
    rows = "\n".join(f"u{n % 30},i{n % 20},{1_700_000_000 + 60 * n},{int(n < 900 and n % 9 == 0)}" for n in range(1000))
    (tmp_path / "views.csv").write_text(f"user,item,time,click\n{rows}\n", encoding="utf-8")
    found = start_spec([str(tmp_path / "views.csv")], StartOptions(out=tmp_path / "s.yaml"))
    assert "all 100 rows of the test split are no clicks: a model needs both" in found.findings
    few = "\n".join(f"u{n % 30},i{n % 20},{1_700_000_000 + 60 * n},{int(n % 9 == 0)}" for n in range(1000))
    (tmp_path / "few.csv").write_text(f"user,item,time,click\n{few}\n", encoding="utf-8")
    found = start_spec([str(tmp_path / "few.csv")], StartOptions(out=tmp_path / "f.yaml"))
    assert "the test split has 12 clicks, fewer than 100: its AUC says little" in found.findings


def test_rows_sorted_by_their_label_are_split_at_random(tmp_path: Path) -> None:
    rows = "\n".join(f"{n % 7},{n % 11},{int(n < 300)}" for n in range(1000))
    (tmp_path / "t.csv").write_text(f"colour,size_code,target\n{rows}\n", encoding="utf-8")
    found = start_spec([str(tmp_path / "t.csv")], StartOptions(out=tmp_path / "s.yaml"))
    assert any("split at random, seed 0" in text for text in found.costs)
    assert not any("one class" in text or "a model needs both" in text for text in found.findings)
    kept = start_spec([str(tmp_path / "t.csv")], StartOptions(out=tmp_path / "f.yaml", order="file"))
    assert any("a model needs both" in text for text in kept.findings)


def test_what_a_person_says_is_taken(tmp_path: Path) -> None:
    files, _ = make("odd names and decimal commas", tmp_path)
    options = StartOptions(out=tmp_path / "s.yaml", label="leak > 5", item="none", keep=("Constant",))
    found = start_spec(files, options)
    assert (found.label, found.item) == ("leak > 5", None)
    assert found.positives == pytest.approx(0.3, abs=0.04)
    assert "Constant" in found.kinds
    assert "clicks.Clicked" in found.left_out  # now it is the one that knows the label


def test_unsure_choices_are_asked_and_answers_taken(tmp_path: Path) -> None:
    rows = "\n".join(f"a{n % 50},b{n % 23},{n % 2}" for n in range(800))
    (tmp_path / "t.csv").write_text(f"left,right,chosen\n{rows}\n", encoding="utf-8")
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return {"user": "right", "item": "left", "label": "chosen"}.get(question.about, question.default)

    found = start_spec([str(tmp_path / "t.csv")], StartOptions(out=tmp_path / "s.yaml"), ask=answer)
    assert (found.user, found.item, found.label) == ("right", "left", "chosen")
    assert {question.about for question in asked} >= {"user", "item"}
    assert all(question.default in question.choices for question in asked)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "nothing"}, "names no column"),
        ({"label": "slot > many"}, "which is no number"),
        ({"label": "at"}, "more than two values"),
        ({"user": "nobody"}, "--user is 'nobody'"),
        ({"events": "nowhere"}, "--events is 'nowhere'"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, str], message: str, tmp_path: Path) -> None:
    rows = "\n".join(f"u{n % 40},i{n % 25},{1_700_000_000 + 60 * n},{n % 2},{n % 3}" for n in range(300))
    (tmp_path / "views.csv").write_text(f"shopper,ware,at,bought,slot\n{rows}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        start_spec([str(tmp_path / "views.csv")], StartOptions(out=tmp_path / "s.yaml", **options))  # type: ignore[arg-type]
    assert not (tmp_path / "s.yaml").exists()


def test_a_spec_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    files, _ = make("kinds of events", tmp_path)
    (tmp_path / "s.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="is there already: give another --out, or --force"):
        start_spec(files, StartOptions(out=tmp_path / "s.yaml"))
    assert (tmp_path / "s.yaml").read_text(encoding="utf-8") == "mine"
    start_spec(files, StartOptions(out=tmp_path / "s.yaml", force=True))
    assert load_spec(tmp_path / "s.yaml").events == "events"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PAR1 and no more", "cannot be read as parquet"),
        (b"PK\x03\x04" + b"x" * 50, "a ZIP archive"),
        (b"BZh91AY", "compressed by bzip2"),
        (b"ARROW1\x00\x00" + b"x" * 50, r"an Arrow \(Feather\) file: write it as Parquet"),
        (b"\x80\x04\x95" + b"x" * 50, "a Python pickle"),
        (b"1 3:1 70:0.5\n0 4:1 71:1\n", "is LIBSVM, numbers of features without names"),
        (b"user,item,click\n", "has names of columns and no rows"),
        (
            b"age,town\n" + b"".join(b"%d,%s\n" % (n, b"ABC"[n % 3 : n % 3 + 1]) for n in range(99)),
            "say one of them by --label",
        ),
    ],
)
def test_files_that_are_no_tables_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match=message):
        start_spec([str(tmp_path / "t")], StartOptions(out=tmp_path / "s.yaml"))


def test_a_table_that_holds_one_class_only_is_refused(tmp_path: Path) -> None:
    rows = "\n".join(f"u{n % 40},i{n % 25},{1_700_000_000 + 60 * n},1" for n in range(300))
    (tmp_path / "views.csv").write_text(f"user,item,time,click\n{rows}\n", encoding="utf-8")
    with pytest.raises(DataError, match="all 300 rows are clicks: say another one by --label"):
        start_spec([str(tmp_path / "views.csv")], StartOptions(out=tmp_path / "s.yaml", label="click = 1"))


@pytest.mark.parametrize("ending", ["csv", "parquet", "duckdb", "large csv"])
def test_a_long_table_is_drafted_from_blocks_all_along_it(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (
        "SELECT 'u' || i % 400 AS \"user\", 'i' || i % 90 AS item, 1700000000 + 60 * i AS \"time\", "
        "CAST(i * 7919 % 10 < 3 AS INT) AS click FROM range(30000) t(i)"
    )
    path = tmp_path / f"views.{ending.split()[-1]}"
    with duckdb.connect(str(path) if ending == "duckdb" else ":memory:") as connection:
        if ending == "duckdb":
            connection.execute(f"CREATE TABLE views AS {rows}")
        else:
            connection.execute(f"COPY ({rows}) TO '{path}' (FORMAT {ending.split()[-1]})")
    if ending == "large csv":
        for room in ("sampling", "scans"):
            monkeypatch.setattr(f"llactr.profile.{room}.WHOLE_BYTES", 300_000)
    found = start_spec([str(path)], StartOptions(out=tmp_path / "s.yaml", sample_rows=3000))
    assert found.rows == pytest.approx(30_000, rel=0.03)
    assert found.positives == pytest.approx(0.3, abs=0.02)
    assert (found.user, found.item, found.time, found.label) == ("user", "item", "time", "click")


def test_a_label_of_several_values_is_a_scale(tmp_path: Path) -> None:
    rows = "\n".join(f"u{n % 40},i{n % 25},{1_700_000_000 + 60 * n},{1 + n * 7 % 5}" for n in range(600))
    (tmp_path / "views.csv").write_text(f"user,item,time,bought\n{rows}\n", encoding="utf-8")
    found = start_spec([str(tmp_path / "views.csv")], StartOptions(out=tmp_path / "s.yaml"))
    assert found.label == "bought > 3, without 3"


def test_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name the tables"):
        start_spec([], StartOptions(out=tmp_path / "s.yaml"))
