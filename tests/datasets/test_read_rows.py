"""Rows to score: read as ingest reads, or refused by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets.rows import read_rows, request_table
from llactr.errors import DataError, InputError
from llactr.spec import DatasetSpec

SpecOf = Callable[..., DatasetSpec]


@pytest.fixture
def spec(clicks_spec: SpecOf) -> DatasetSpec:
    fields = clicks_spec().model_dump(mode="json")["fields"]
    wait = {"name": "wait", "description": "how long", "owner": "context", "kind": "numeric"}
    return clicks_spec(fields=[*fields, wait])


def test_csv_text_stays_text(spec: DatasetSpec, tmp_path: Path) -> None:
    """A CSV given to predict lost its leading zeros."""
    text = "uid,iid,device,wait\n012,007,1,14.62\n0,00,,\n"
    (tmp_path / "rows.csv").write_text(text)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("rows.csv", "rows.csv.gz"):
        found = request_table(read_rows(spec, [], tmp_path / name), spec)
        assert found.drop_columns(["event_timestamp"]).to_pydict() == {
            "uid": ["012", "0"], "iid": ["007", "00"], "device": ["1", None], "wait": [14.62, None],
        }  # fmt: skip


def test_json_rows_that_lack_a_key_are_null_there(spec: DatasetSpec) -> None:
    """Columns that the first row lacked were dropped for all."""
    rows = [
        '{"uid": 1, "iid": "a", "wait": 1}',
        '{"uid": "2", "iid": 3, "device": true, "wait": 2.5, "event_timestamp": "2024-05-31T10:00:00+02:00"}',
    ]
    before = datetime.now(UTC)
    found = request_table(read_rows(spec, rows, None), spec)
    assert found["uid"].to_pylist() == ["1", "2"]
    assert found["iid"].to_pylist() == ["a", "3"]
    assert found["device"].to_pylist() == [None, "true"]
    assert found["wait"].to_pylist() == [1.0, 2.5]
    now, given = found["event_timestamp"].to_pylist()
    assert before <= now <= datetime.now(UTC), "a row without a time happens now"
    assert given == datetime(2024, 5, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"uid": None}, r"row 1 has no 'uid', which is a join key"),
        ({"uid": ""}, r"row 1 has no 'uid', which is a join key"),
        ({"device": ["tv"]}, r"--row row 1: 'device' is \[\"tv\"\], expected one text or number"),
        ({"wait": "14.62"}, r"--row row 1: 'wait' is the text '14.62', expected a number: write it without quotes"),
        ({"wait": 10**400}, r"'wait' is a number past 1.8e308"),
        ({"event_timestamp": "2024-05-31"}, r"event_timestamp '2024-05-31' is no time with a zone"),
        ({"event_timestamp": 1_700_000_000}, r"event_timestamp '1700000000' is no time with a zone"),
        ({"town": "x"}, r"the rows have a column 'town', which is not asked for"),
    ],
)
def test_json_that_cannot_be_read_is_refused_by_place(spec: DatasetSpec, row: dict[str, object], message: str) -> None:
    whole = {"uid": 1, "iid": 2, "device": "tv", "wait": 3} | row
    with pytest.raises(DataError, match=message):
        request_table(read_rows(spec, [json.dumps(whole)], None), spec)


def test_files_that_cannot_be_read(spec: DatasetSpec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the rows to score"):
        read_rows(spec, [], None)
    with pytest.raises(DataError, match="no file"):
        read_rows(spec, [], tmp_path / "none.csv")
    for name, content, message in (
        ("a.csv", b"", "is empty: a CSV file begins with a line of column names"),
        ("b.csv", b"uid,iid,device,wait\n1,2,tv,soon\n", "column 'wait' holds 'soon', which is no number"),
        ("c.csv", b"PK\x03\x04 something", "is no CSV file but a ZIP archive: unpack it"),
        ("d.txt", b"{}", r"has the ending '.txt': expected .json, .jsonl, .csv \(plain or .gz\) or .parquet"),
        ("e.jsonl", b'{"uid": 1}\n\nnothing\n', "line 3 is not JSON"),
        ("f.json", b"[]", "holds no rows"),
        ("g.parquet", b"PAR1", "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_rows(spec, [], tmp_path / name)
    pq.write_table(pa.table({"uid": [1], "iid": [1], "device": ["tv"], "wait": ["1"]}), tmp_path / "h.parquet")
    with pytest.raises(DataError, match="field 'wait' is numeric, but its values have type string"):
        request_table(read_rows(spec, [], tmp_path / "h.parquet"), spec)
