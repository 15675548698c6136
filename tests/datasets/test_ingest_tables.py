"""What ingest writes, worked out by hand from the small log in conftest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from llactr.datasets import ingest_key, read_source, table_files, write_offline_tables
from llactr.errors import DataError
from llactr.manifest import file_hash, read_manifest
from llactr.spec import DatasetSpec, load_spec
from llactr.workspace import Workspace

SpecOf = Callable[..., DatasetSpec]
UTC_US = pa.timestamp("us", "UTC")


def _at(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _read(workspace: Workspace, name: str, table: str) -> pa.Table:
    return pa.concat_tables([pq.ParquetFile(p).read() for p in table_files(workspace.offline_table(name, table))])


EVENTS = {
    # stars 3 is dropped; both events at 200 keep their order
    "uid": ["2", "3", "2", "1", "1"],
    "iid": ["b", "a", "a", "c", "a"],
    "event_timestamp": [_at(100), _at(200), _at(200), _at(400), _at(500)],
    "label": [0.0, 1.0, 0.0, 1.0, 1.0],
    "device": [None, "phone", "tv", "phone", "tv"],
}
BEFORE = _at(100) - dt.timedelta(days=1)
USERS = {
    "uid": ["1", "2", "3"],
    "age": ["25", None, "40"],
    "town": ["Ghent", "Łódź", "Ghent"],
    "event_timestamp": [BEFORE] * 3,
    "created_timestamp": [BEFORE] * 3,
}
ITEMS = {
    "iid": ["a", "b"],
    "tags": ["x|y", "y"],
    "price": [1.5, None],
    "event_timestamp": [BEFORE] * 2,
    "created_timestamp": [BEFORE] * 2,
}


def test_tables_hold_normalised_rows_in_event_order(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    write_offline_tables(clicks_spec(), workspace, clicks)
    events = _read(workspace, "clicks", "events")
    assert events.schema == pa.schema(
        {
            "uid": pa.string(),
            "iid": pa.string(),
            "event_timestamp": UTC_US,
            "label": pa.float32(),
            "device": pa.string(),
        }
    )
    assert events.to_pydict() == EVENTS
    users, items = _read(workspace, "clicks", "user"), _read(workspace, "clicks", "item")
    assert users.to_pydict() == USERS
    assert items.to_pydict() == ITEMS
    assert items.schema.types == [pa.string(), pa.string(), pa.float64(), UTC_US, UTC_US]


def test_summary_counts_what_was_written(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    summary = write_offline_tables(clicks_spec(), workspace, clicks)
    assert (summary.rows, summary.dropped, summary.users, summary.items) == (5, 1, 3, 3)
    assert summary.unmatched == {"user": 0, "item": 1}, "item c has no row"
    assert summary.positives == pytest.approx(0.6)
    assert (summary.start, summary.end) == (_at(100), _at(500))
    assert summary.new_rows == {"events": 5, "user": 3, "item": 2}
    assert summary.inputs == {f"{n}.parquet": file_hash(clicks / f"{n}.parquet") for n in ("items", "log", "users")}
    found = {f.name: (f.rows, f.nulls, f.distinct, f.examples) for f in summary.fields}
    assert found == {
        "uid": (3, 0, 3, ("1", "2", "3")),
        "age": (3, 1, 2, ("25", "40")),
        "town": (3, 0, 2, ("Ghent", "Łódź")),
        "tags": (2, 0, 2, ("y", "x")),
        "price": (2, 1, 1, ("1.5",)),
        "device": (5, 1, 2, ("phone", "tv")),
        "hour": (5, 0, 1, ("0",)),
    }


def test_the_dataset_describes_itself(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    spec = clicks_spec()
    write_offline_tables(spec, workspace, clicks)
    assert workspace.datasets() == ["clicks"]
    assert load_spec(workspace.dataset("clicks") / "spec.yaml") == spec
    manifest = read_manifest(workspace.dataset("clicks"))
    assert manifest is not None
    assert (manifest["start"], manifest["end"]) == ("1970-01-01T00:01:40+00:00", "1970-01-01T00:08:20+00:00")
    assert manifest["key"] == ingest_key(spec, clicks)
    assert manifest["summary"]["rows"] == 5


def test_the_key_follows_spec_and_data(clicks: Path, clicks_spec: SpecOf) -> None:
    key = ingest_key(clicks_spec(), clicks)
    assert ingest_key(clicks_spec(), clicks) == key
    assert ingest_key(clicks_spec(label={"column": "stars", "above": 2}), clicks) != key
    pq.write_table(pa.table({"iid": ["a"], "tags": ["x"], "price": [2.0]}), clicks / "items.parquet")
    assert ingest_key(clicks_spec(), clicks) != key


def test_a_second_ingest_replaces_the_first(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    write_offline_tables(clicks_spec(), workspace, clicks)
    summary = write_offline_tables(clicks_spec(label={"column": "stars", "above": 3}), workspace, clicks)
    assert summary.rows == 6
    assert _read(workspace, "clicks", "events").num_rows == 6
    assert len(list(workspace.offline_table("clicks", "events").iterdir())) == 1
    assert sorted(p.name for p in workspace.offline_table("clicks", "events").parent.iterdir()) == [
        "events",
        "item",
        "user",
    ]


def _as_csv(clicks: Path) -> DatasetSpec:
    for name in ("log", "users", "items"):
        pa_csv.write_csv(pq.ParquetFile(clicks / f"{name}.parquet").read(), clicks / f"{name}.csv")
        (clicks / f"{name}.parquet").unlink()
    return {name: {"path": f"{name}.csv", "format": "csv"} for name in ("log", "users", "items")}  # type: ignore[return-value]


def _as_duckdb(clicks: Path) -> DatasetSpec:
    with duckdb.connect(str(clicks / "all.duckdb")) as connection:
        for name in ("log", "users", "items"):
            connection.register("arrow", pq.ParquetFile(clicks / f"{name}.parquet").read())
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM arrow")
            connection.unregister("arrow")
            (clicks / f"{name}.parquet").unlink()
    return {  # type: ignore[return-value]
        name: {"path": "all.duckdb", "format": "duckdb", "table": name} for name in ("log", "users", "items")
    }


def _as_folder(clicks: Path) -> DatasetSpec:
    log = pq.ParquetFile(clicks / "log.parquet").read()
    (clicks / "days" / "later").mkdir(parents=True)
    pq.write_table(log.slice(0, 2), clicks / "days" / "0.parquet")
    # Another type of the same column, as happens when a day has no nulls: each file is normalised by itself.
    rest = log.slice(2).set_column(0, "uid", log.slice(2).column("uid").cast(pa.string()))
    pq.write_table(rest, clicks / "days" / "later" / "1.parquet")
    (clicks / "days" / ".hidden.parquet").write_bytes(b"half written")
    return _sources(log={"path": "days", "format": "parquet"})


def _as_glob(clicks: Path) -> DatasetSpec:
    _as_folder(clicks)
    return _sources(log={"path": "day?/**/[01].parquet", "format": "parquet"})


def _sources(**changes: dict[str, str]) -> DatasetSpec:
    names = ("log", "users", "items")
    return {**{n: {"path": f"{n}.parquet", "format": "parquet"} for n in names}, **changes}  # type: ignore[return-value]


@pytest.mark.parametrize("rewrite", [_as_csv, _as_duckdb, _as_folder, _as_glob])
def test_every_format_gives_the_same_tables(
    clicks: Path, clicks_spec: SpecOf, workspace: Workspace, rewrite: Callable[[Path], object]
) -> None:
    spec = clicks_spec(sources=rewrite(clicks))
    write_offline_tables(spec, workspace, clicks)
    assert _read(workspace, "clicks", "events").to_pydict() == EVENTS
    users = _read(workspace, "clicks", "user").to_pydict()
    assert users == (USERS if rewrite is not _as_csv else {**USERS, "age": users["age"]})
    assert users["age"][1] is None
    assert _read(workspace, "clicks", "item").to_pydict() == ITEMS


def test_csv_categories_stay_as_they_are_written(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    (clicks / "users.csv").write_text('uid;age;city\n1;007;"a;""b""\nc"\n2;NA;\n3;25.0;null\n', encoding="utf-8")
    spec = clicks_spec(sources=_sources(users={"path": "users.csv", "format": "csv", "separator": ";"}))
    write_offline_tables(spec, workspace, clicks)
    users = _read(workspace, "clicks", "user").to_pydict()
    assert users["age"] == ["007", "NA", "25.0"]
    assert users["town"] == ['a;"b"\nc', None, "null"]
    assert read_source(spec, "users", clicks).column("age").to_pylist() == ["007", "NA", "25.0"]


def test_read_source_gives_every_column(clicks: Path, clicks_spec: SpecOf) -> None:
    assert read_source(clicks_spec(), "users", clicks).column_names == ["uid", "age", "city"]
    folder_spec = clicks_spec(sources=_as_folder(clicks))
    with pytest.raises(DataError, match=r"the files of source 'log' do not fit together: .*uid"):
        read_source(folder_spec, "log", clicks)


def test_ties_keep_their_order_in_a_long_log(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    count = 300_000  # more than a batch, and more than DuckDB's vectors
    log = {
        "uid": pa.array(range(count)),
        "iid": ["a"] * count,
        "stars": [5, 1] * (count // 2),
        "at": [i % 3 for i in range(count)],
        "device": ["tv"] * count,
    }
    pq.write_table(pa.table(log), clicks / "log.parquet")
    write_offline_tables(clicks_spec(), workspace, clicks)
    found = _read(workspace, "clicks", "events").column("uid").to_pylist()
    assert found == [str(i) for rest in range(3) for i in range(rest, count, 3)]


def test_binary_labels_need_no_threshold(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    log = pq.ParquetFile(clicks / "log.parquet").read()
    pq.write_table(
        log.append_column("click", pa.array([True, False, True, True, False, False])), clicks / "log.parquet"
    )
    write_offline_tables(clicks_spec(label={"column": "click"}), workspace, clicks)
    # in event order: at 100, 200, 200, 300, 400, 500
    assert _read(workspace, "clicks", "events").column("label").to_pylist() == [0, 1, 0, 1, 0, 1]


def test_entities_with_timestamps_keep_all_their_versions(
    clicks: Path, clicks_spec: SpecOf, workspace: Workspace
) -> None:
    users = {
        "uid": [1, 1, 1, 2, 2],
        "age": [25, 26, 26, 30, 31],
        "city": ["a", "b", "b", "c", "d"],
        "since": [10, 20, 20, 5, 5],
        "written": [11, 21, 21, 6, 7],
    }
    pq.write_table(pa.table(users), clicks / "users.parquet")
    entity = {
        "join_key": "uid",
        "source": "users",
        "timestamp": {"column": "since", "unit": "s"},
        "created": {"column": "written", "unit": "s"},
    }
    spec = clicks_spec(entities={"user": entity, "item": {"join_key": "iid", "source": "items"}})
    write_offline_tables(spec, workspace, clicks)
    assert _read(workspace, "clicks", "user").to_pydict() == {
        "uid": ["1", "1", "2", "2"],  # the repeated row is there once
        "age": ["25", "26", "30", "31"],
        "town": ["a", "b", "c", "d"],
        "event_timestamp": [_at(10), _at(20), _at(5), _at(5)],
        "created_timestamp": [_at(11), _at(21), _at(6), _at(7)],
    }


def test_an_entity_without_source_has_no_table(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    fields = [f.model_dump() for f in clicks_spec().fields if f.owner != "item"]
    fields.append({"name": "iid", "description": "which item", "owner": "item", "kind": "categorical"})
    spec = clicks_spec(
        entities={"user": {"join_key": "uid", "source": "users"}, "item": {"join_key": "iid"}}, fields=fields
    )
    summary = write_offline_tables(spec, workspace, clicks)
    assert not workspace.offline_table("clicks", "item").exists()
    found = {f.name: (f.rows, f.distinct) for f in summary.fields}
    assert found["iid"] == (5, 3), "counted among the events"
    assert summary.unmatched == {"user": 0}


def test_a_part_of_the_event_time_may_be_named_by_its_column(
    clicks: Path, clicks_spec: SpecOf, workspace: Workspace
) -> None:
    fields = [f.model_dump() for f in clicks_spec().fields]
    fields[-1]["source_column"] = "at"  # integers, whose unit is known from the spec's timestamp
    write_offline_tables(clicks_spec(fields=fields), workspace, clicks)
    events = _read(workspace, "clicks", "events")
    assert events.column("hour").to_pylist() == events.column("event_timestamp").to_pylist()
