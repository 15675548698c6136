"""CSV: what can be read is read; what hardly is meant is refused with the mend."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets import table_files, write_offline_tables
from llactr.errors import DataError, SpecError
from llactr.spec import DatasetSpec, load_spec
from llactr.workspace import Workspace

SpecOf = Callable[..., DatasetSpec]
HEADER = "uid,iid,stars,at,device"
ROWS = [f"{1 + n % 3},{'ab'[n % 2]},{1 + 4 * (n % 2)},{100 + n},tv" for n in range(12)]


@pytest.fixture
def ingest(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> Callable[..., pa.Table]:
    """Ingests a log of the given bytes or lines; its events."""

    def make(
        content: bytes | list[str], *, name: str = "log.csv", source: dict[str, Any] | None = None, **spec: Any
    ) -> pa.Table:
        text = content if isinstance(content, bytes) else ("\n".join([HEADER, *content]) + "\n").encode()
        (clicks / name).write_bytes(text)
        sources = clicks_spec().model_dump()["sources"] | {"log": {"path": name, "format": "csv", **(source or {})}}
        write_offline_tables(clicks_spec(sources=sources, **spec), workspace, clicks)
        return pa.concat_tables(
            [pq.ParquetFile(p).read() for p in table_files(workspace.offline_table("clicks", "events"))]
        )

    return make  # fmt: skip


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["log.csv.gz", "log.csv"])
def test_compressed_files_are_read_whatever_they_are_called(
    ingest: Callable[..., pa.Table], pack: Callable[[bytes], bytes], name: str
) -> None:
    """gz: the header was read without decompression."""
    plain = ingest(ROWS)
    assert ingest(pack("\n".join([HEADER, *ROWS]).encode()), name=name).equals(plain)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"PK\x03\x04", "a ZIP archive: unpack it"),
        ("uid,iid".encode("utf-16"), "UTF-16: write it as UTF-8"),
        (b"PAR1", "a Parquet file: say so in 'format'"),
        (b"\xfd7zXZ\x00", "compressed by xz"),
    ],
)
def test_what_is_no_csv_is_named(ingest: Callable[..., pa.Table], start: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"source 'log' \(log.csv\) is no CSV file but {message}"):
        ingest(start + b"0" * 50)


def test_a_quote_character_that_swallows_rows_is_refused(ingest: Callable[..., pa.Table]) -> None:
    """bare_quote_events: one value began with a quote, another further down ended with one: 80 rows lost."""
    rows = [*ROWS]
    rows[2] = rows[2].replace(",tv", ',"tv')
    rows[6] = rows[6].replace(",tv", ',tv"')
    with pytest.raises(
        DataError, match=r"in column 'device' makes one cell of 5 lines that look like rows: say quote: \"\""
    ):
        ingest(rows)
    found = ingest(rows, source={"quote": ""})
    assert found.num_rows == 12
    assert sorted(set(found["device"].to_pylist())) == ['"tv', "tv", 'tv"']
    assert ingest(rows, source={"quote": '"'}).num_rows == 8, "said to be meant so"


def test_a_quote_in_a_column_that_nobody_reads_is_found_too(ingest: Callable[..., pa.Table]) -> None:
    rows = [f"{row},beside" for row in ROWS]
    rows[1], rows[3] = rows[1].replace("beside", '"beside'), rows[3].replace("beside", 'beside"')
    content = "\n".join([HEADER + ",note", *rows]).encode()
    with pytest.raises(DataError, match="in column 'note' makes one cell of 3 lines"):
        ingest(content)


def test_cells_that_hold_text_of_several_lines_are_fine(ingest: Callable[..., pa.Table]) -> None:
    rows = [*ROWS, '1,a,5,500,"a tv,\nas good\nas any"', ""]
    assert "a tv,\nas good\nas any" in ingest(rows)["device"].to_pylist()


def test_other_quote_characters(ingest: Callable[..., pa.Table], tmp_path: Path) -> None:
    assert "x,y" in ingest([*ROWS, "1,a,5,500,'x,y'"], source={"quote": "'"})["device"].to_pylist()
    path = tmp_path / "spec.yaml"
    path.write_text("name: x\nsources: {log: {path: a.csv, format: csv, quote: '--'}}\n")
    with pytest.raises(SpecError, match="'quote' is '--', expected one character"):
        load_spec(path)


@pytest.mark.parametrize(
    ("yes", "no"), [("True", "False"), ("true", "false"), ("TRUE", "FALSE"), ("1", "0"), ("1.0", "0.0")]
)
def test_labels_of_true_and_false(ingest: Callable[..., pa.Table], yes: str, no: str) -> None:
    """bool_label_csv: refused as a damaged file."""
    rows = [f"1,a,{yes if n % 2 else no},{100 + n},tv" for n in range(6)]
    assert ingest(rows, label={"column": "stars"})["label"].to_pylist() == [0.0, 1.0] * 3


def test_a_label_by_its_text(ingest: Callable[..., pa.Table], clicks: Path, clicks_spec: SpecOf) -> None:
    rows = [f"1,a,{'>50K' if n % 2 else '<=50K'},{100 + n},tv" for n in range(6)]
    with pytest.raises(DataError, match=r"column 'stars' holds '<=50K', which is no number"):
        ingest(rows, label={"column": "stars"})
    assert ingest(rows, label={"column": "stars", "equals": ">50K"})["label"].to_pylist() == [0.0, 1.0] * 3
    rows.append("1,a,unknown,300,tv")
    found = ingest(rows, label={"column": "stars", "equals": ">50K", "drop": ["unknown"]})
    assert found["label"].to_pylist() == [0.0, 1.0] * 3
    with pytest.raises(DataError, match="all 7 labels are 0"):
        ingest(rows, label={"column": "stars", "equals": ">50k"})
    with pytest.raises(ValueError, match="give one of them"):
        clicks_spec(label={"column": "stars", "equals": "x", "above": 1})
    with pytest.raises(ValueError, match="only a rule with 'equals' reads text"):
        clicks_spec(label={"column": "stars", "drop": ["x"]})


def test_whole_numbers_in_text_have_a_unit(ingest: Callable[..., pa.Table], clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:  # fmt: skip
    """digits_text_unit: 'give it a unit', although the spec had one."""
    expected = ingest(ROWS)["event_timestamp"].to_pylist()
    table = pq.ParquetFile(clicks / "log.parquet").read().to_pydict()
    pq.write_table(pa.table(table | {"at": [f"{at}" for at in table["at"]]}), clicks / "log.parquet")
    write_offline_tables(clicks_spec(), workspace, clicks)
    spaced = [row.replace(",10", ", 10").replace(",11", ", 11") for row in ROWS]
    for rows in (spaced, [row.replace(",tv", ".0,tv") for row in ROWS]):
        assert ingest(rows)["event_timestamp"].to_pylist() == expected
    with pytest.raises(DataError, match=r"column 'at' holds 'soon', which is no whole number of s: mend it"):
        ingest([*ROWS, "1,a,5,soon,tv"])


def test_a_skipped_hour_is_refused_in_one_sentence(ingest: Callable[..., pa.Table]) -> None:
    """dst_gap: five lines."""
    rows = [f"1,a,{1 + 4 * (n % 2)},2024-03-31 0{n}:30:00,tv" for n in range(4)]
    with pytest.raises(
        DataError, match=r"2024-03-31 02:30:00 was skipped there when clocks were set forward; mend"
    ) as caught:
        ingest(rows, timestamp={"column": "at", "zone": "Europe/Berlin"})
    assert "\n" not in str(caught.value)


def test_a_column_that_is_text_and_number_keeps_its_zeros(ingest: Callable[..., pa.Table], clicks_spec: SpecOf) -> None:
    fields = clicks_spec().model_dump(mode="json")["fields"]
    size = {
        "name": "size",
        "description": "how large",
        "owner": "context",
        "kind": "numeric",
        "source_column": "device",
    }
    found = ingest([row.replace("tv", "007") for row in ROWS], fields=[*fields, size])
    assert set(found["device"].to_pylist()) == {"007"}
    assert set(found["size"].to_pylist()) == {7.0}


def test_text_of_another_encoding_is_named(ingest: Callable[..., pa.Table]) -> None:
    content = "\n".join([HEADER, *ROWS, "1,a,5,500,Mépris"]).encode("latin-1")
    with pytest.raises(DataError, match="invalid UTF8 data; write the file as UTF-8"):
        ingest(content)
