"""Tables that are written unusually are drafted and ingested whole; what cannot be drafted is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llactr.datasets import write_offline_tables
from llactr.errors import DataError, InputError
from llactr.profile import Question, StartOptions, start_spec
from llactr.spec import load_spec
from llactr.workspace import Workspace
from tests.profile.unusual import REFUSED, UNUSUAL, as_csv, rows


@pytest.mark.parametrize("name", list(UNUSUAL))
def test_an_unusual_table_is_drafted_and_ingested(name: str, tmp_path: Path) -> None:
    write, truth = UNUSUAL[name]
    write(tmp_path)
    options = StartOptions(out=tmp_path / "spec.yaml", **truth.options)
    found = start_spec([str(tmp_path / file) for file in truth.files], options)
    assert (found.label, found.time, found.user, found.item) == (truth.label, truth.time, truth.user, truth.item)
    assert set(truth.fields) <= set(found.kinds)
    assert truth.said in "\n".join([*found.findings, *found.costs])
    summary = write_offline_tables(load_spec(tmp_path / "spec.yaml"), Workspace.at(tmp_path / "workspace"), tmp_path)
    assert summary.rows == found.rows
    if truth.rows:
        assert summary.rows == truth.rows


LONG = ("names that differ by capitals", "spans of time", "a view of the same rows", "columns in another order")


@pytest.mark.parametrize("name", LONG)
def test_of_a_long_table_a_sample_is_looked_at(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of rows are taken another way, from what Arrow and DuckDB read differently too."""
    monkeypatch.setattr("tests.profile.unusual.COUNT", 1500)
    write, truth = UNUSUAL[name]
    write(tmp_path)
    options = StartOptions(out=tmp_path / "spec.yaml", sample_rows=1000)
    found = start_spec([str(tmp_path / file) for file in truth.files], options)
    assert (found.label, found.time, found.user, found.item) == (truth.label, truth.time, truth.user, truth.item)
    assert set(truth.fields) <= set(found.kinds)
    summary = write_offline_tables(load_spec(tmp_path / "spec.yaml"), Workspace.at(tmp_path / "workspace"), tmp_path)
    assert summary.rows == 1500


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_drafted_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    file, write, said = REFUSED[name]
    write(tmp_path)
    with pytest.raises(DataError, match=said):
        start_spec([str(tmp_path / file)], StartOptions(out=tmp_path / "spec.yaml"))
    assert not (tmp_path / "spec.yaml").exists()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"time": "nope"},
            "--time is 'nope': the events in 'log' have user_id, item_id, ts, device, clicked, or say none",
        ),
        ({"user": "nope"}, "--user is 'nope'"),
        ({"time": "device"}, "--time is 'device', which holds 2 distinct; .*: name a column of moments"),
        ({"time": "clicked"}, "--time is 'clicked', which holds 2 distinct"),
        ({"user": "clicked"}, "--label and --user both name 'clicked': each needs a column of its own"),
        ({"user": "user_id", "item": "user_id"}, "--user and --item both name 'user_id'"),
        ({"keep": ("nope",)}, "--keep is 'nope': the columns are clicked, device, item_id, ts, user_id"),
        ({"zone": "Nowhere"}, "--zone is 'Nowhere': give a name such as UTC or Europe/Berlin"),
        ({"label": "stars > 3"}, "the label 'stars > 3' names no column of the events"),
    ],
)
def test_what_is_said_and_cannot_be_is_refused(said: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    as_csv(tmp_path / "log.csv", rows(100))
    with pytest.raises(InputError, match=sentence):
        start_spec([str(tmp_path / "log.csv")], StartOptions(out=tmp_path / "spec.yaml", **said))


def test_an_answer_that_names_no_column_is_refused(tmp_path: Path) -> None:
    table = [{"who": row["user_id"], **{k: v for k, v in row.items() if k != "user_id"}} for row in rows(100)]
    as_csv(tmp_path / "log.csv", table)

    def ask(question: Question) -> str:
        return "nope" if question.about == "user" else question.default

    with pytest.raises(InputError, match="--user is 'nope'"):
        start_spec([str(tmp_path / "log.csv")], StartOptions(out=tmp_path / "spec.yaml"), ask=ask)


def test_a_label_that_no_class_fits_is_refused_in_its_words(tmp_path: Path) -> None:
    as_csv(tmp_path / "log.csv", rows(100))
    with pytest.raises(DataError, match="by the label rule 'device = laptop' all 100 rows are no clicks: say another"):
        start_spec([str(tmp_path / "log.csv")], StartOptions(out=tmp_path / "spec.yaml", label="device = laptop"))


def test_the_label_says_which_table_has_the_events(tmp_path: Path) -> None:
    as_csv(tmp_path / "log.csv", rows(100))
    as_csv(tmp_path / "views.csv", [{"reader": n % 9, "page": n % 7, "seen": n, "liked": n % 2} for n in range(90)])
    files = [str(tmp_path / name) for name in ("log.csv", "views.csv")]
    assert start_spec(files, StartOptions(out=tmp_path / "a.yaml", label="liked")).rows == 90
    assert start_spec(files, StartOptions(out=tmp_path / "b.yaml", label="clicked")).rows == 100


def test_a_moment_with_fractions_is_the_moment(tmp_path: Path) -> None:
    UNUSUAL["seconds with fractions"][0](tmp_path)
    start_spec([str(tmp_path / "log.parquet")], StartOptions(out=tmp_path / "spec.yaml"))
    first = pq.read_table(tmp_path / "spec-tables" / "log.parquet").column("ts")[0].as_py()
    assert first.timestamp() == 1_700_000_000.5


def test_keys_with_point_zero_are_written_as_whole_numbers(tmp_path: Path) -> None:
    UNUSUAL["whole numbers with .0"][0](tmp_path)
    start_spec([str(tmp_path / "log.csv")], StartOptions(out=tmp_path / "spec.yaml"))
    keys = set(pq.read_table(tmp_path / "spec-tables" / "log.parquet").column("CustomerID").to_pylist())
    assert keys <= {str(number) for number in range(40)}


def test_prices_hold_from_their_moment_on(tmp_path: Path) -> None:
    """The draft says since when a row of the thing's table holds, with its unit or its zone."""
    for name, expected in {
        "prices over time, in seconds": {"column": "valid_from", "unit": "s", "zone": None},
        "prices over time, with a zone": {"column": "valid_from", "unit": None, "zone": None},
        "prices over time, without a zone": {"column": "valid_from", "unit": None, "zone": "UTC"},
        "prices over time, in German": {"column": "valid_from", "unit": None, "zone": None},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        UNUSUAL[name][0](folder)
        start_spec([str(folder / "log.csv"), str(folder / "prices.csv")], StartOptions(out=folder / "spec.yaml"))
        timestamp = load_spec(folder / "spec.yaml").entities["item"].timestamp
        assert timestamp is not None
        assert timestamp.model_dump() == expected


def test_of_two_prices_at_one_moment_the_last_holds(tmp_path: Path) -> None:
    UNUSUAL["prices over time, some of one moment or of none"][0](tmp_path)
    files = [str(tmp_path / name) for name in ("log.csv", "prices.csv")]
    start_spec(files, StartOptions(out=tmp_path / "spec.yaml"))
    found = pq.read_table(tmp_path / "spec-tables" / "prices.parquet").to_pylist()
    prices = sorted(float(row["price"]) for row in found)
    assert prices == [*range(25, 50), *range(75, 100)]
