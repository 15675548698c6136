"""Bad input gets one clear sentence, and what was ingested before stays as it was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets import write_offline_tables
from llactr.errors import DataError, InputError
from llactr.manifest import file_hash
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

SpecOf = Callable[..., DatasetSpec]


@pytest.fixture
def refused(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> Iterator[Callable[..., None]]:
    """Ingests once well; then with the given spec changes, which must be refused with the given message."""
    write_offline_tables(clicks_spec(), workspace, clicks)

    def state() -> dict[str, str]:
        return {str(p.relative_to(workspace.root)): file_hash(p) for p in workspace.root.rglob("*") if p.is_file()}

    before = state()

    def check(message: str, **changes: Any) -> None:
        with pytest.raises(DataError, match=message) as caught:
            write_offline_tables(clicks_spec(**changes), workspace, clicks)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, InputError)
        assert caught.value.exit_code == 2
        assert state() == before

    yield check
    assert state() == before


def _change(clicks: Path, name: str, **columns: Any) -> None:
    """Rewrites a table with columns replaced, or left out for None."""
    path = clicks / f"{name}.parquet"
    table = pq.ParquetFile(path).read()
    for column, values in columns.items():
        if column in table.column_names:
            table = table.drop_columns([column])
        if values is not None:
            table = table.append_column(column, values if isinstance(values, pa.Array) else pa.array(values))
    pq.write_table(table, path)


def test_missing_file(refused: Callable[..., None], clicks: Path) -> None:
    (clicks / "users.parquet").unlink()
    refused(r"source 'users': there is no file at .*users.parquet: put it there, or mend 'path' in the spec")


def test_empty_folder(refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf) -> None:
    (clicks / "empty").mkdir()
    sources = {**clicks_spec().model_dump()["sources"], "log": {"path": "empty", "format": "parquet"}}
    refused(r"source 'log': the folder .*empty holds no .parquet file", sources=sources)


def test_truncated_parquet(refused: Callable[..., None], clicks: Path) -> None:
    path = clicks / "log.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    refused(r"source 'log' \(log.parquet\) cannot be read as parquet \(.*\): check that .*log.parquet is whole")


def test_parquet_damaged_in_the_middle(refused: Callable[..., None], clicks: Path) -> None:
    path = clicks / "log.parquet"
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    refused(r"source 'log' \(log.parquet\) cannot be read as parquet")


@pytest.mark.parametrize(("format_", "table"), [("duckdb", "log"), ("csv", None)])
def test_a_file_of_another_format(
    refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf, format_: str, table: str | None
) -> None:
    source = {"path": "log.parquet", "format": format_} | ({"table": table} if table else {})
    refused(r"source 'log' \(log.parquet\)", sources={**clicks_spec().model_dump()["sources"], "log": source})


def test_empty_csv(refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf) -> None:
    (clicks / "log.csv").write_text("")
    sources = {**clicks_spec().model_dump()["sources"], "log": {"path": "log.csv", "format": "csv"}}
    refused(r"source 'log' \(log.csv\) is empty: a CSV file begins with a line of column names", sources=sources)


def test_csv_with_a_word_for_a_number(refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf) -> None:
    (clicks / "log.csv").write_text("uid,iid,stars,at,device\n1,a,many,100,tv\n")
    sources = {**clicks_spec().model_dump()["sources"], "log": {"path": "log.csv", "format": "csv"}}
    refused(r"source 'log' \(log.csv\) cannot be read as csv \(.*'many'.*\)", sources=sources)


def test_csv_with_uneven_lines(refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf) -> None:
    (clicks / "log.csv").write_text("uid,iid,stars,at,device\n1,a,5,100\n")
    sources = {**clicks_spec().model_dump()["sources"], "log": {"path": "log.csv", "format": "csv"}}
    refused(r"source 'log' \(log.csv\) cannot be read as csv \(.*Expected 5 columns, got 4", sources=sources)


def test_missing_column_and_the_one_that_was_meant(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "log", device=None, devise=["tv"] * 6)
    refused(r"source 'log' \(log.parquet\) has no column 'device', it has 'uid', .*: did you mean 'devise'\?")


def test_a_spec_field_that_the_table_lacks(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "users", city=None)
    refused(r"source 'users' \(users.parquet\) has no column 'city', it has 'uid', 'age'")


def test_missing_label_timestamp_and_key(refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf) -> None:
    refused(r"has no column 'rating'", label={"column": "rating", "above": 3})
    refused(r"has no column 'when'", timestamp={"column": "when", "unit": "s"})
    _change(clicks, "items", iid=None)
    refused(r"source 'items' \(items.parquet\) has no column 'iid'")


def test_a_column_twice(refused: Callable[..., None], clicks: Path) -> None:
    table = pq.ParquetFile(clicks / "users.parquet").read()
    pq.write_table(
        pa.Table.from_arrays([*table.columns, table.column(1)], names=["uid", "age", "city", "age"]),
        clicks / "users.parquet",
    )
    refused(r"source 'users' \(users.parquet\) has the column 'age' twice: rename one of them")


def test_wrong_types(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "items", price=["1,50", "2"])
    refused(r"field 'price' is numeric, but its values have type string: give numbers, or make the field categorical")
    _change(clicks, "items", price=[1.0, 2.0], tags=[["x"], ["y"]])
    refused(r"field 'tags' has type list<.*>, expected text with the values joined by '\|'")


def test_label_of_text(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "log", stars=["good"] * 6)
    refused(r"label column 'stars' has type string, expected numbers or booleans")


def test_label_not_binary(refused: Callable[..., None]) -> None:
    refused(
        r"label column 'stars' is not binary, it holds 2, 3, 4, 5: give 'above' in the spec", label={"column": "stars"}
    )
    refused(r"label column 'stars' is not binary, it holds 2, 4: ", label={"column": "stars", "drop": [3, 5]})


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_label_missing(refused: Callable[..., None], clicks: Path, missing: float | None) -> None:
    _change(clicks, "log", stars=[5.0, missing, 1.0, 1.0, 1.0, missing])
    refused(r"label column 'stars' has no value in 2 rows: fill them in or leave them out")


def test_labels_all_alike(refused: Callable[..., None]) -> None:
    refused(
        r"all 6 labels are 1: a model needs both, check the label rule of column 'stars'",
        label={"column": "stars", "above": 0},
    )


def test_empty_table(refused: Callable[..., None], clicks: Path) -> None:
    log = pq.ParquetFile(clicks / "log.parquet").read()
    pq.write_table(log.slice(0, 0), clicks / "log.parquet")
    refused(r"the events source 'log' has no rows: give it some, or mend the label rule")
    pq.write_table(log, clicks / "log.parquet")
    users = pq.ParquetFile(clicks / "users.parquet").read()
    pq.write_table(users.slice(0, 0), clicks / "users.parquet")
    refused(r"source 'users' has no rows: an entity's table needs at least one")


def test_every_row_dropped(refused: Callable[..., None]) -> None:
    refused(
        r"the events source 'log' has no rows, its label rule drops all 6: ",
        label={"column": "stars", "above": 3, "drop": [1, 2, 3, 4, 5]},
    )


def test_timestamps_without_unit_or_zone(refused: Callable[..., None], clicks: Path) -> None:
    refused(r"column 'at' holds numbers \(int64\) as timestamps: give its 'unit'", timestamp={"column": "at"})
    _change(clicks, "log", at=[dt.datetime(2024, 1, 1)] * 6)
    refused(r"column 'at' holds timestamps without a zone: give its 'zone' in the spec", timestamp={"column": "at"})


def test_timestamps_out_of_range(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "log", at=[10**12] * 6)
    refused(r"column 'at' holds the timestamp .*, outside 1900 to 2200: check the 'unit' in the spec \(now s\)")


def test_timestamps_missing(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "log", at=[1, None, 3, 4, 5, 6])
    refused(r"source 'log': timestamp column 'at' has no value in 1 rows")


def test_keys_missing(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "log", uid=[1, None, None, 4, 5, 6])
    refused(r"source 'log': column 'uid' has no value in 2 rows, and it is a join key")


def test_static_entity_twice(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "items", iid=["a", "a"])
    refused(r"source 'items' has several rows for iid 'a' at one time: keep one row per key, or give the entity a")


def test_keys_that_become_equal_as_text(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "items", iid=[1.0, 1.0])
    refused(r"several rows for iid '1' at one time")


def test_entity_versions_at_one_time(refused: Callable[..., None], clicks: Path) -> None:
    _change(clicks, "items", iid=["a", "a"], since=[5, 5])
    entities = {
        "user": {"join_key": "uid", "source": "users"},
        "item": {"join_key": "iid", "source": "items", "timestamp": {"column": "since", "unit": "s"}},
    }
    refused(r"several rows for iid 'a' at one time: give the entity a 'created' column", entities=entities)


def test_a_table_that_the_database_lacks(refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf) -> None:
    with duckdb.connect(str(clicks / "d.duckdb")) as connection:
        connection.execute("CREATE TABLE logs AS SELECT 1 AS a")
    sources = {**clicks_spec().model_dump()["sources"], "log": {"path": "d.duckdb", "format": "duckdb", "table": "log"}}
    refused(r"source 'log' \(d.duckdb\) has no table 'log': its tables are 'logs'", sources=sources)


def test_two_names_with_one_identifier(
    refused: Callable[..., None], clicks: Path, clicks_spec: SpecOf, workspace: Workspace
) -> None:
    write_offline_tables(clicks_spec(name="my-clicks"), workspace.at(clicks / "other"), clicks)
    with pytest.raises(DataError, match=r"dataset 'my_clicks' would share its feature names with 'my-clicks'"):
        write_offline_tables(clicks_spec(name="my_clicks"), workspace.at(clicks / "other"), clicks)
