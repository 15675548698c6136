"""Names, paths and texts in SQL: DuckDB itself says whether the quoting holds."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.sql import connect, json_lines_scan, parquet_scan, quote_identifier, quote_literal

NASTY = [
    'a"b',
    "it's",
    "x; DROP TABLE t;--",
    "select",
    "Ünïcode 映画",
    "a\nb",
    "100%",
    "\\",
    " ",
    '"',
    "'",
    "$1",
    "{x}",
]


@pytest.mark.parametrize("name", NASTY)
def test_any_name_and_any_text_survive(name: str) -> None:
    with connect() as connection:
        connection.execute(f"CREATE TABLE t AS SELECT {quote_literal(name)} AS {quote_identifier(name)}")
        connection.execute("SELECT * FROM t")
        assert connection.description is not None
        assert connection.description[0][0] == name
        assert connection.fetchall() == [(name,)]


def test_quoting_by_hand() -> None:
    assert quote_identifier('a"b') == '"a""b"'
    assert quote_literal("it's") == "'it''s'"
    assert quote_literal("") == "''"


def test_what_no_quoting_helps_is_refused() -> None:
    for name in ("", "a\0b"):
        with pytest.raises(ValueError, match="cannot be an SQL name"):
            quote_identifier(name)
    with pytest.raises(ValueError, match="cannot be an SQL text"):
        quote_literal("a\0b")


@pytest.mark.parametrize("folder", ["plain", "a*b", "what?", "[1-9]", "k=v", "it's", "ünï codé"])
def test_exactly_the_files_that_were_named_are_read_in_their_order(tmp_path: Path, folder: str) -> None:
    """A path with a star is no pattern, and a folder called k=v adds no column k."""
    (tmp_path / folder).mkdir()
    files = [tmp_path / folder / name for name in ("b[1].parquet", "a*.parquet")]
    for number, file in enumerate(files):
        pq.write_table(pa.table({"n": [10 * number, 10 * number + 1]}), file)
    pq.write_table(pa.table({"n": [99]}), tmp_path / folder / "ab.parquet")  # a*.parquet as a pattern
    pq.write_table(pa.table({"n": [98]}), tmp_path / folder / "b1.parquet")
    with connect() as connection:
        table = connection.execute(f"SELECT * FROM {parquet_scan(files)}").to_arrow_table()
        assert table.to_pydict() == {"n": [0, 1, 10, 11]}
        numbered = connection.execute(f"SELECT * FROM {parquet_scan(files[1], row_numbers=True)}").fetchall()
        assert numbered == [(10, 0), (11, 1)]


def test_json_lines_have_the_columns_that_were_asked_for(tmp_path: Path) -> None:
    lines = b'{"a": 1, "it\'s": "x", "other": [1]}\n{"it\'s": null}\n'
    (tmp_path / "l*.jsonl").write_bytes(lines)
    (tmp_path / "lx.jsonl").write_bytes(b'{"a": 9}\n')
    (tmp_path / "l.jsonl.gz").write_bytes(gzip.compress(lines))
    with connect() as connection:
        for name in ("l*.jsonl", "l.jsonl.gz"):
            scan = json_lines_scan(tmp_path / name, {"it's": "VARCHAR", "a": "BIGINT"})
            table = connection.execute(f"SELECT * FROM {scan}").to_arrow_table()
            assert table.to_pydict() == {"it's": ["x", None], "a": [1, None]}


def test_connections_work_in_utc_and_load_nothing(tmp_path: Path) -> None:
    with connect(memory_limit="300MB", temporary=tmp_path / "spill") as connection:
        moment = connection.execute("SELECT TIMESTAMPTZ '2024-01-01 00:00:00'").fetchall()[0][0]
        assert moment == datetime(2024, 1, 1, tzinfo=UTC)
        names = ("memory_limit", "temp_directory", "autoinstall_known_extensions", "autoload_known_extensions")
        settings = [connection.execute(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in names]
    assert settings == ["286.1 MiB", str(tmp_path / "spill"), False, False]


def test_a_database_file_is_read_only_and_sees_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "it's.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "secret.parquet")
    with connect(file) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(7,)]
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.execute("INSERT INTO t VALUES (8)")
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"SELECT * FROM {parquet_scan(tmp_path / 'secret.parquet')}")
