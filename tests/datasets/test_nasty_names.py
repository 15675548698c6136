"""Column names, table names and paths of any characters work, and nothing in them is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from llactr.datasets import table_files, write_offline_tables
from llactr.spec import DatasetSpec
from llactr.sql import connect, parquet_scan, quote_identifier, quote_literal
from llactr.workspace import Workspace

NASTY = [
    "two words",
    "it's",
    'say "hi"',
    '"; DROP TABLE victim; --',
    "'); COPY (SELECT 1) TO '{marker}'; --",
    "select",
    "group by 1",
    "a.b",
    "a,b",
    "naïve 日本 🎬",
    "{x} %s ? $1",
    "[abc]*?",
    "back\\slash",
    "x=1",
]


def _names(marker: Path) -> list[str]:
    return [name.replace("{marker}", str(marker)) for name in NASTY]


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("format_", ["parquet", "csv", "duckdb"])
def test_a_nasty_name_everywhere(tmp_path: Path, name: str, format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A relative path: names are limited to 100 characters, and how long tmp_path is differs between machines.
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "executed"
    name = name.replace("{marker}", marker.name)
    safe = name.replace("/", "-")
    if format_ == "duckdb":
        safe = safe.replace("?", "")  # DuckDB cannot create a database file with a question mark in its path
    folder = tmp_path / f"data {safe}"
    folder.mkdir()
    columns: dict[str, Any] = {
        f"u{name}": [1, 2], f"i{name}": ["a", "b"], f"t{name}": [100, 200], f"l{name}": [0, 1], f"c{name}": ["x", "y"],
    }  # fmt: skip
    file = f"log {safe}.{format_}"
    table = pa.table(columns)
    if format_ == "parquet":
        pq.write_table(table, folder / file)
    elif format_ == "csv":
        pa_csv.write_csv(table, folder / file)
    else:
        with duckdb.connect(str(folder / file)) as connection:
            connection.execute("CREATE TABLE victim AS SELECT 1 AS a")
            connection.register("arrow", table)
            connection.execute(f"CREATE TABLE {quote_identifier(name)} AS SELECT * FROM arrow")
    source = {"path": file, "format": format_} | ({"table": name} if format_ == "duckdb" else {})
    field = f"f{name}"
    spec = DatasetSpec.model_validate(
        {
            "name": "nasty",
            "sources": {name: source},
            "events": name,
            "timestamp": {"column": f"t{name}", "unit": "s"},
            "label": {"column": f"l{name}"},
            "entities": {"user": {"join_key": f"u{name}"}, "item": {"join_key": f"i{name}"}},
            "fields": [
                {"name": f"u{name}", "description": "who", "owner": "user", "kind": "categorical"},
                {
                    "name": field,
                    "description": "what",
                    "owner": "context",
                    "kind": "categorical",
                    "source_column": f"c{name}",
                },
            ],
        }
    )
    workspace = Workspace.at(tmp_path / f"workspace {name.replace('/', '-')}")
    summary = write_offline_tables(spec, workspace, folder)
    [path] = table_files(workspace.offline_table("nasty", "events"))
    assert pq.ParquetFile(path).read(columns=[f"u{name}", field, "label"]).to_pydict() == {
        f"u{name}": ["1", "2"], field: ["x", "y"], "label": [0.0, 1.0],
    }  # fmt: skip
    assert [f.examples for f in summary.fields] == [("1", "2"), ("x", "y")]
    assert not marker.exists()
    if format_ == "duckdb":
        with duckdb.connect(str(folder / file), read_only=True) as connection:
            assert connection.execute("SELECT a FROM victim").fetchone() == (1,)


def test_identifiers_and_literals_come_back_as_they_went_in(tmp_path: Path) -> None:
    with connect() as connection:
        connection.execute("CREATE TABLE victim AS SELECT 1 AS a")
        for name in _names(tmp_path / "executed"):
            query = f"SELECT {quote_literal(name)} AS {quote_identifier(name)}"
            result = connection.execute(query).to_arrow_table()
            assert result.to_pydict() == {name: [name]}
        assert connection.execute("SELECT a FROM victim").fetchone() == (1,)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_no_quoting_helps(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be an SQL name"):
        quote_identifier(name)
    if name:
        with pytest.raises(ValueError, match="cannot be an SQL text"):
            quote_literal(name)


def test_a_glob_in_a_path_means_itself(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "[ab]*.parquet")
    pq.write_table(pa.table({"a": [2]}), tmp_path / "a1.parquet")
    with connect() as connection:
        query = f"SELECT a FROM {parquet_scan(tmp_path / '[ab]*.parquet')}"
        assert connection.execute(query).fetchall() == [(1,)]


def test_a_folder_called_x_equals_1_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "x=1").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x=1" / "p.parquet")
    with connect() as connection:
        query = f"SELECT * FROM {parquet_scan([tmp_path / 'x=1' / 'p.parquet'], row_numbers=True)}"
        assert connection.execute(query).to_arrow_table().to_pydict() == {"a": [1], "file_row_number": [0]}


def test_a_view_in_a_database_cannot_read_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute(f"CREATE VIEW v AS SELECT * FROM read_csv({quote_literal(str(tmp_path / 'secret.csv'))})")
    with connect(tmp_path / "d.duckdb") as connection, pytest.raises(duckdb.Error, match="disabled"):
        connection.execute("SELECT * FROM v").fetchall()
