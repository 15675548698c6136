"""What ingest finds odd is said, and refused where nothing of it can be meant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets import append_offline_tables, table_files, write_offline_tables
from llactr.datasets.cautions import odd_periods, rows_ahead
from llactr.errors import DataError
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

SpecOf = Callable[..., DatasetSpec]


def _log(folder: Path, **columns: Any) -> None:
    table = pq.ParquetFile(folder / "log.parquet").read().to_pydict() | columns
    pq.write_table(pa.table(table), folder / "log.parquet")


def _users(folder: Path, keys: list[Any]) -> None:
    pq.write_table(
        pa.table({"uid": keys, "age": [20.0] * len(keys), "city": ["x"] * len(keys)}), folder / "users.parquet"
    )


@pytest.mark.parametrize(
    ("events", "table", "spelling", "examples"),
    [
        ([1, 2, 3], ["001", "002", "003"], "zeros at the front", ("'1', '2', '3'", "'001', '002', '003'")),
        (["12.0", "7.0"], [12, 7], "'.0' at the end", ("'12.0', '7.0'", "'12', '7'")),
        (["a ", "b "], ["a", "b"], "spaces at the ends", ("'a ', 'b '", "'a', 'b'")),
        (["Ann", "BOB"], ["ann", "bob"], "capital letters", ("'Ann', 'BOB'", "'ann', 'bob'")),
        ([" 7.0", " 8.0"], ["07", "08"], "spaces at the ends and '.0' at the end and zeros at the front", ("' 7.0'", "'07'")),
    ],
)  # fmt: skip
def test_keys_spelled_otherwise_are_refused_with_what_would_make_them_meet(
    clicks: Path, clicks_spec: SpecOf, workspace: Workspace,
    events: list[Any], table: list[Any], spelling: str, examples: tuple[str, str],
) -> None:  # fmt: skip
    """zeros_mismatch: 600 of 600 events matched no user, and nobody said so."""
    _log(clicks, uid=(events * 6)[:6])
    _users(clicks, table)
    with pytest.raises(DataError, match="say --allow-unmatched to go on") as caught:
        write_offline_tables(clicks_spec(), workspace, clicks)
    for part in ("5 of 5 events find no row in the user table", f"they would meet without {spelling}:", *examples):
        assert part in str(caught.value)
    assert not workspace.dataset("clicks").exists()
    summary = write_offline_tables(clicks_spec(), workspace, clicks, allow_unmatched=True)
    assert summary.unmatched["user"] == 5
    assert str(caught.value).startswith(summary.warnings[0])


def test_some_events_without_a_row_are_said(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    summary = write_offline_tables(clicks_spec(), workspace, clicks)
    lost = summary.unmatched_keys["item"]
    assert (lost.rows, lost.of, lost.events, lost.table, lost.spelling) == (1, 5, ("c",), ("a", "b"), ())
    assert "1 of 5 events find no row in the item table" in summary.warnings[0]
    assert "'iid' is 'c' in the events and 'a', 'b' in the table" in summary.warnings[0]
    assert "user" not in summary.unmatched_keys


def test_appended_events_spelled_otherwise_are_refused(
    clicks: Path, clicks_spec: SpecOf, workspace: Workspace, tmp_path: Path
) -> None:
    write_offline_tables(clicks_spec(), workspace, clicks)
    more = tmp_path / "more"
    more.mkdir()
    log = {"uid": ["01", "02"], "iid": ["a", "b"], "stars": [5, 1], "at": [900, 901], "device": ["tv", "tv"]}
    pq.write_table(pa.table(log), more / "log.parquet")
    before = table_files(workspace.offline_table("clicks", "events"))
    with pytest.raises(DataError, match=r"2 of 2 events find no row in the user table.*without zeros at the front"):
        append_offline_tables(clicks_spec(), workspace, more)
    assert table_files(workspace.offline_table("clicks", "events")) == before
    log["uid"] = ["8", "9"]  # unknown people, as new ones are
    pq.write_table(pa.table(log), more / "log.parquet")
    summary = append_offline_tables(clicks_spec(), workspace, more)
    assert summary.new_rows["events"] == 2
    assert summary.warnings[0].startswith("of the new rows, 2 of 2 events find no row in the user table")


def test_append_with_another_spec_is_refused_with_the_difference(
    clicks: Path, clicks_spec: SpecOf, workspace: Workspace
) -> None:
    """append_other_spec: another label rule was not looked at."""
    write_offline_tables(clicks_spec(), workspace, clicks)
    other = clicks_spec(label={"column": "stars", "above": 4, "drop": [3]})
    with pytest.raises(DataError, match=r"was ingested with another spec \(label.above 3.0 -> 4.0\): append with the"):
        append_offline_tables(other, workspace, clicks)
    fields = clicks_spec().model_dump(mode="json")["fields"]
    fields[4]["bucket_count"] = 7
    with pytest.raises(DataError, match=r"\(fields.price.bucket_count 10 -> 7\)"):
        append_offline_tables(clicks_spec(fields=fields), workspace, clicks)


def test_seconds_read_as_milliseconds_are_said(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    _log(clicks, at=[1_700_000_000 + n for n in range(6)])
    summary = write_offline_tables(clicks_spec(timestamp={"column": "at", "unit": "ms"}), workspace, clicks)
    said = [text for text in summary.warnings if "1990" in text]
    assert said == [
        "5 of 5 events lie before 1990, the first at 1970-01-20 16:13: check column 'at' and its 'unit' in the spec, "
        "now ms: read as s it begins at 2023-11-14 22:13"
    ]
    right = write_offline_tables(clicks_spec(), workspace, clicks)
    assert not [text for text in right.warnings if "1990" in text]


def test_rows_ahead_are_said(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    """future: rows dated ahead never came online, and nobody said so."""
    _log(clicks, at=[1_700_000_000 + 86_400 * 10 * n for n in range(6)])
    spec = clicks_spec()
    write_offline_tables(spec, workspace, clicks)
    tables = {name: table_files(workspace.offline_table("clicks", name)) for name in ("events", "user", "item")}
    then = dt.datetime(2023, 11, 13, 23, tzinfo=dt.UTC)
    # The log's third row is left out by the label rule; users and items hold from a day before the first event.
    assert rows_ahead(tables, now=then) == {"events": 5}
    assert rows_ahead(tables, now=dt.datetime(2023, 12, 10, tzinfo=dt.UTC)) == {"events": 3}
    assert rows_ahead(tables, now=dt.datetime(2022, 1, 1, tzinfo=dt.UTC)) == {"events": 5, "user": 3, "item": 2}
    said = odd_periods(spec, tables, now=dt.datetime(2022, 1, 1, tzinfo=dt.UTC))
    assert [text.split(" lie")[0] for text in said] == ["5 of 5 events", "3 of 3 user rows", "2 of 2 item rows"]
    assert "as rows without a time of their own hold from the first event on" in said[1]
    assert odd_periods(spec, tables, now=dt.datetime(2025, 1, 1, tzinfo=dt.UTC)) == ()


def test_infinite_context_numbers_are_said(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    _log(clicks, wait=[1.0, float("inf"), 2.0, float("-inf"), None, float("nan")])
    wait = {"name": "wait", "description": "how long", "owner": "context", "kind": "numeric"}
    spec = clicks_spec(fields=[*clicks_spec().model_dump(mode="json")["fields"], wait])
    summary = write_offline_tables(spec, workspace, clicks)
    assert [text for text in summary.warnings if "wait" in text] == [
        "field 'wait' is infinite in 2 events, and no request can say so: leave the value out there, or write a number"
    ]
