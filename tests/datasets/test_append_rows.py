from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets import append_offline_tables, ingest_key, table_files, write_offline_tables
from llactr.errors import DataError, NotReadyError
from llactr.manifest import file_hash, read_manifest
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

SpecOf = Callable[..., DatasetSpec]
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def _at(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _rows(workspace: Workspace, table: str) -> list[dict[str, Any]]:
    parts = [pq.ParquetFile(p).read() for p in table_files(workspace.offline_table("clicks", table))]
    rows: list[dict[str, Any]] = pa.concat_tables(parts).to_pylist()
    return rows


@pytest.fixture
def more(tmp_path: Path) -> Path:
    folder = tmp_path / "more"
    folder.mkdir()
    return folder


@pytest.fixture
def timed(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> DatasetSpec:
    """The dataset, ingested, with users whose rows hold from `since`."""
    users = {"uid": [1, 2], "age": [25, 30], "city": ["a", "b"], "since": [10, 10]}
    pq.write_table(pa.table(users), clicks / "users.parquet")
    user = {"join_key": "uid", "source": "users", "timestamp": {"column": "since", "unit": "s"}}
    spec = clicks_spec(entities={"user": user, "item": {"join_key": "iid", "source": "items"}})
    write_offline_tables(spec, workspace, clicks)
    return spec


def test_later_versions_and_corrections_become_new_files(timed: DatasetSpec, workspace: Workspace, more: Path) -> None:
    old_file = table_files(workspace.offline_table("clicks", "user"))[0]
    old_hash = file_hash(old_file)
    users = {"uid": [1, 2, 2], "age": [26, 31, 30], "city": ["a", "b", "b"], "since": [300, 10, 10]}
    pq.write_table(pa.table({k: v[:2] for k, v in users.items()}), more / "users.parquet")
    summary = append_offline_tables(timed, workspace, more, written=NOW)
    assert summary.new_rows == {"user": 2}
    files = table_files(workspace.offline_table("clicks", "user"))
    assert len(files) == 2
    assert files[0] == old_file, "new parts sort behind old ones"
    assert file_hash(old_file) == old_hash, "what was there is not rewritten"
    user = {"uid", "age", "town", "event_timestamp", "created_timestamp"}
    assert all(set(row) == user for row in _rows(workspace, "user"))
    assert [tuple(row.values()) for row in _rows(workspace, "user")] == [
        ("1", "25", "a", _at(10), _at(10)),
        ("2", "30", "b", _at(10), _at(10)),
        ("1", "26", "a", _at(300), NOW),
        ("2", "31", "b", _at(10), NOW),  # the correction of what held from 10 on
    ]


def test_appending_twice_adds_nothing(timed: DatasetSpec, workspace: Workspace, more: Path, clicks: Path) -> None:
    users = {"uid": [1, 3], "age": [26, 50], "city": ["a", None], "since": [300, 5]}
    pq.write_table(pa.table(users), more / "users.parquet")
    pq.write_table(pq.ParquetFile(clicks / "log.parquet").read(), more / "log.parquet")
    first = append_offline_tables(timed, workspace, more, written=NOW)
    assert first.new_rows == {"events": 0, "user": 2}
    before = {p: file_hash(p) for p in workspace.root.rglob("*") if p.is_file()}
    second = append_offline_tables(timed, workspace, more)
    assert second.new_rows == {"events": 0, "user": 0}
    assert {p: file_hash(p) for p in workspace.root.rglob("*") if p.is_file()} == before


def test_new_events_are_added_once_and_counted(
    timed: DatasetSpec, workspace: Workspace, more: Path, clicks: Path
) -> None:
    log = {
        "uid": [1, 1, 2, 1],
        "iid": ["a", "z", "b", "z"],
        "stars": [5, 5, 3, 5],
        "at": [500, 450, 460, 450],
        "device": ["tv", None, "tv", None],
    }
    pq.write_table(pa.table(log), more / "log.parquet")
    summary = append_offline_tables(timed, workspace, more)
    # The first row is there already; the third is dropped by the label rule; equal rows of one log are two events.
    assert summary.new_rows == {"events": 2}
    assert (summary.rows, summary.dropped, summary.items) == (7, 2, 4)
    assert [(r["iid"], r["event_timestamp"]) for r in _rows(workspace, "events")][5:] == [("z", _at(450))] * 2
    manifest = read_manifest(workspace.dataset("clicks"))
    assert manifest is not None
    assert manifest["key"] == ingest_key(timed, clicks), "the base ingest still counts as done"
    assert manifest["summary"]["rows"] == 7
    assert [entry["new_rows"] for entry in manifest["appended"]] == [{"events": 2}]
    assert list(manifest["appended"][0]["inputs"].values()) == [file_hash(more / "log.parquet")]


def test_appending_the_same_rows_again_counts_no_more_dropped_rows(
    timed: DatasetSpec, workspace: Workspace, more: Path
) -> None:
    log = {"uid": [1, 2], "iid": ["a", "b"], "stars": [5, 3], "at": [900, 901], "device": ["tv", "tv"]}
    pq.write_table(pa.table(log), more / "log.parquet")
    first = append_offline_tables(timed, workspace, more)
    assert (first.rows, first.dropped) == (6, 2)  # stars of 3 are dropped: one of the first source, one of this
    assert append_offline_tables(timed, workspace, more).dropped == 2


def test_a_written_column_of_the_source_is_kept(
    clicks: Path, clicks_spec: SpecOf, workspace: Workspace, more: Path
) -> None:
    def users(ages: list[int], written: list[int]) -> pa.Table:
        return pa.table(
            {
                "uid": [1] * len(ages),
                "age": ages,
                "city": ["a"] * len(ages),
                "since": [10] * len(ages),
                "written": written,
            }
        )

    pq.write_table(users([25], [20]), clicks / "users.parquet")
    user = {
        "join_key": "uid",
        "source": "users",
        "timestamp": {"column": "since", "unit": "s"},
        "created": {"column": "written", "unit": "s"},
    }
    spec = clicks_spec(entities={"user": user, "item": {"join_key": "iid", "source": "items"}})
    write_offline_tables(spec, workspace, clicks)
    pq.write_table(users([25, 26], [20, 90]), more / "users.parquet")
    assert append_offline_tables(spec, workspace, more, written=NOW).new_rows == {"user": 1}
    assert [(r["age"], r["created_timestamp"]) for r in _rows(workspace, "user")] == [("25", _at(20)), ("26", _at(90))]


def test_static_entities_take_new_keys_only(timed: DatasetSpec, workspace: Workspace, more: Path) -> None:
    pq.write_table(pa.table({"iid": ["a", "new"], "tags": ["x|y", None], "price": [1.5, 2.0]}), more / "items.parquet")
    assert append_offline_tables(timed, workspace, more, written=NOW).new_rows == {"item": 1}
    last = _rows(workspace, "item")[-1]
    before = _at(100) - dt.timedelta(days=1)
    assert (last["iid"], last["event_timestamp"], last["created_timestamp"]) == ("new", before, NOW)
    pq.write_table(pa.table({"iid": ["b"], "tags": ["changed"], "price": [1.0]}), more / "items.parquet")
    with pytest.raises(
        DataError, match=r"item 'b' is there already with other values, and the spec gives item no 'timestamp'"
    ):
        append_offline_tables(timed, workspace, more)
    assert len(_rows(workspace, "item")) == 3


def test_a_bad_part_adds_nothing_of_the_rest(timed: DatasetSpec, workspace: Workspace, more: Path) -> None:
    before = {p: file_hash(p) for p in workspace.root.rglob("*") if p.is_file()}
    log = {"uid": [1], "iid": ["a"], "stars": [5], "at": [600], "device": ["tv"]}
    pq.write_table(pa.table(log), more / "log.parquet")
    pq.write_table(pa.table({"uid": [1], "age": [1], "since": [1]}), more / "users.parquet")
    with pytest.raises(DataError, match=r"source 'users' \(users.parquet\) has no column 'city'"):
        append_offline_tables(timed, workspace, more)
    assert {p: file_hash(p) for p in workspace.root.rglob("*") if p.is_file()} == before


def test_events_before_the_first_are_refused(timed: DatasetSpec, workspace: Workspace, more: Path) -> None:
    log = {"uid": [1], "iid": ["a"], "stars": [5], "at": [99], "device": ["tv"]}
    pq.write_table(pa.table(log), more / "log.parquet")
    with pytest.raises(
        DataError, match=r"new events begin at 1970-01-01T00:01:39\+00:00, before the dataset's first one"
    ):
        append_offline_tables(timed, workspace, more)


def test_what_must_be_there_first(
    timed: DatasetSpec, workspace: Workspace, more: Path, clicks_spec: SpecOf, tmp_path: Path
) -> None:
    with pytest.raises(NotReadyError, match=r"dataset 'clicks' is not in this workspace: run 'llactr ingest' first"):
        append_offline_tables(timed, Workspace.at(tmp_path / "empty"), more)
    with pytest.raises(DataError, match=r"dataset 'clicks' was ingested with another spec"):
        append_offline_tables(clicks_spec(), workspace, more)
    with pytest.raises(DataError, match=r"holds none of the sources 'log', 'users', 'items'"):
        append_offline_tables(timed, workspace, more)
