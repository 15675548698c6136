"""The same rows through every way in, in every type that can hold them, get the same ids."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from llactr.datasets.events import EventReader
from llactr.datasets.rows import read_rows, request_table
from llactr.serving.codec import OwnerCodec
from llactr.serving.schemas import RequestSchemas
from llactr.serving.scorer import _context_value
from llactr.spec import DatasetSpec
from llactr.transforms import NULL, OOV, Transform

Ids = NDArray[np.int32]
AT = 1_700_000_000


def _spec(format_: str) -> DatasetSpec:
    path = {"parquet": "log.parquet", "csv": "log.csv", "duckdb": "log.duckdb"}[format_]
    source = {"path": path, "format": format_} | ({"table": "log"} if format_ == "duckdb" else {})
    fields = [
        {"name": "who", "owner": "user", "kind": "categorical"},
        {"name": "what", "owner": "item", "kind": "categorical"},
        {"name": "word", "owner": "context", "kind": "categorical"},
        {"name": "amount", "owner": "context", "kind": "numeric", "bucket_count": 50},
        {"name": "level", "owner": "context", "kind": "numeric", "buckets": "log"},
        {"name": "tags", "owner": "context", "kind": "multi_valued", "separator": "|", "max_values": 3},
        {"name": "hour", "owner": "context", "kind": "timestamp_part", "part": "hour"},
    ]
    return DatasetSpec.model_validate(
        {
            "name": "doors",
            "sources": {"log": source},
            "events": "log",
            "timestamp": {"column": "at", "unit": "s"},
            "label": {"column": "y"},
            "entities": {"user": {"join_key": "who"}, "item": {"join_key": "what"}},
            "fields": [{"description": "some words", **field} for field in fields],
        }
    )


SPECS = {name: _spec(name) for name in ("parquet", "csv", "duckdb")}
WHOLE = [pa.int64(), pa.int32(), pa.uint32(), pa.float64(), pa.decimal128(12, 0), pa.decimal128(14, 3), pa.string()]
FRACTION = [pa.float64(), pa.float32(), pa.decimal128(12, 3), pa.decimal128(38, 5)]
TEXT = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]

whole = st.integers(0, 9999)
cents = st.integers(-99_999, 99_999).map(lambda number: Decimal(number) / 100)
words = st.sampled_from(["tv", "TV", "007", "7", "12.0", " tv", "true", "é", "a,b", 'say "no"', "NA", "null", "nan"])


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, list[Any]], dict[str, list[pa.DataType]]]:
    """Columns of Python values, and for each the Arrow types that can hold them."""
    count = draw(st.integers(2, 12))

    def column(values: st.SearchStrategy[Any], *, nulls: bool = True) -> list[Any]:
        return draw(st.lists(st.none() | values if nulls else values, min_size=count, max_size=count))

    kinds: dict[str, list[pa.DataType]] = {}
    columns: dict[str, list[Any]] = {}
    for name in ("who", "what"):
        as_text = draw(st.booleans())
        columns[name] = column(words if as_text else whole, nulls=False)
        kinds[name] = TEXT if as_text else WHOLE
    domain = draw(st.sampled_from(["whole", "cents", "words", "flags"]))
    columns["word"] = column(
        {"whole": whole, "cents": cents, "words": words | st.just(""), "flags": st.booleans()}[domain]
    )
    kinds["word"] = {"whole": WHOLE, "cents": FRACTION, "words": TEXT, "flags": [pa.bool_()]}[domain]
    for name in ("amount", "level"):
        columns[name] = column(cents)
        kinds[name] = FRACTION
    columns["tags"] = column(st.lists(words, max_size=4).map("|".join))
    kinds["tags"] = TEXT
    return columns, kinds


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.array([None if value is None else str(value) for value in values], kind)
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], pa.float64()).cast(kind)
    return pa.array(values, kind)


def _cell(value: Any) -> str:
    """What a program that knows the spelling of categories writes into a CSV file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return str(int(value)) if value == int(value) else str(float(value))
    return str(value)


def _json(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _sources(columns: dict[str, list[Any]], kinds: dict[str, list[pa.DataType]]) -> Iterator[tuple[str, pa.Table]]:
    """The rows in each Arrow type, every column's types in turn."""
    for number in range(max(map(len, kinds.values()))):
        chosen = {name: some[number % len(some)] for name, some in kinds.items()}
        arrays = {name: _array(columns[name], kind) for name, kind in chosen.items()}
        yield ", ".join(f"{name} {kind}" for name, kind in chosen.items()), pa.table(arrays)


def _with_events(table: pa.Table) -> pa.Table:
    count = table.num_rows
    return table.append_column("at", pa.array([AT] * count)).append_column("y", pa.array([0, 1] * count)[:count])


def _ingested(spec: DatasetSpec, folder: Path) -> pa.Table:
    return pa.concat_tables(list(EventReader(spec, folder).batches()))


def _http_ids(spec: DatasetSpec, transform: Transform, rows: list[dict[str, Any]]) -> Ids:
    body = orjson.loads(orjson.dumps({"rows": rows}))
    schemas = RequestSchemas(spec, max_rows=100)
    asked: Any = schemas.predict.model_validate(body)
    ids = np.zeros((len(rows), transform.layout.slot_count), np.int32)
    for owner in ("user", "item"):
        codec = OwnerCodec(spec, transform, owner)
        keys = [str(getattr(row, owner)) for row in asked.rows]
        ids[:, codec.columns] = codec.entity_ids(keys, [None] * len(keys))
    context = OwnerCodec(spec, transform, "context")
    given = [
        {name: getattr(row.context, attribute) for attribute, name in schemas.context_names.items()}
        for row in asked.rows
    ]
    moment = datetime.fromtimestamp(AT, UTC)
    columns = [[_context_value(field, moment, values) for values in given] for field in context.fields]
    ids[:, context.columns] = context.value_ids(columns)
    return ids


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_every_door_and_type_gives_the_same_ids(
    made: tuple[dict[str, list[Any]], dict[str, list[pa.DataType]]],
) -> None:
    columns, kinds = made
    count = len(columns["who"])
    moment = datetime.fromtimestamp(AT, UTC)
    objects = [
        {name: _json(values[n]) for name, values in columns.items() if values[n] is not None} for n in range(count)
    ]
    for name in columns:
        objects[0].setdefault(name, None)  # each column in some row
    spec = SPECS["parquet"]
    transform: Transform | None = None
    expected: list[list[int]] = []

    def compare(ids: Ids, door: str) -> None:
        assert ids.tolist() == expected, door

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for said, table in _sources(columns, kinds):
            pq.write_table(_with_events(table), folder / "log.parquet")
            found = _ingested(spec, folder)
            if transform is None:
                transform = Transform.fit(spec, found)
                expected = transform.ids(found).tolist()
                assert OOV not in transform.ids(found)
            compare(transform.ids(found), f"Parquet of {said}")
            moments = pa.array([moment] * count, pa.timestamp("us", "UTC"))
            pq.write_table(table.append_column("event_timestamp", moments), folder / "rows.parquet")
            read = read_rows(spec, [], folder / "rows.parquet")
            compare(transform.ids(request_table(read, spec)), f"predict of Parquet of {said}")
            (folder / "log.duckdb").unlink(missing_ok=True)
            with duckdb.connect(str(folder / "log.duckdb")) as connection:
                connection.register("given", _with_events(table))
                connection.execute("CREATE TABLE log AS SELECT * FROM given")
            compare(transform.ids(_ingested(SPECS["duckdb"], folder)), f"DuckDB of {said}")
        assert transform is not None
        with (folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
            lines = [[_cell(values[n]) for values in columns.values()] for n in range(count)]
            csv.writer(file).writerows([[*columns, "at", "y"], *([*line, AT, n % 2] for n, line in enumerate(lines))])
        compare(transform.ids(_ingested(SPECS["csv"], folder)), "CSV")
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [[*columns, "event_timestamp"], *([*line, moment.isoformat()] for line in lines)]
            )
        compare(transform.ids(request_table(read_rows(spec, [], folder / "rows.csv"), spec)), "predict of CSV")
        timed = [row | {"event_timestamp": moment.isoformat()} for row in objects]
        (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, timed)), encoding="utf-8")
        compare(transform.ids(request_table(read_rows(spec, [], folder / "rows.jsonl"), spec)), "predict of JSON lines")
        given = read_rows(spec, [json.dumps(row) for row in timed], None)
        compare(transform.ids(request_table(given, spec)), "predict --row")
    requests = [
        {
            "user": row["who"],
            "item": row["what"],
            "timestamp": moment.isoformat(),
            "context": {name: row.get(name) for name in ("word", "amount", "level", "tags")},
        }
        for row in objects
    ]
    compare(_http_ids(spec, transform, requests), "HTTP")


def test_an_empty_text_is_null_at_every_door(tmp_path: Path) -> None:
    """An empty string in a request where training had null."""
    spec = SPECS["parquet"]
    log = pa.table({"who": [1, 2], "what": [1, 2], "word": ["tv", None], "amount": [1.0, 2.0], "level": [1.0, 2.0]})
    log = _with_events(log.append_column("tags", pa.array(["a", None])))
    pq.write_table(log, tmp_path / "log.parquet")
    transform = Transform.fit(spec, _ingested(spec, tmp_path))
    row = {"who": 1, "what": 1, "word": "", "amount": 1.0, "level": 1.0, "tags": ""}
    ids = transform.ids(request_table(read_rows(spec, [json.dumps(row)], None), spec))
    request = {"user": 1, "item": 1, "timestamp": "2024-01-01T00:00:00Z"}
    request["context"] = {name: row[name] for name in ("word", "amount", "level", "tags")}
    assert ids[0, 2] == ids[0, 5] == NULL
    assert _http_ids(spec, transform, [request])[0, :6].tolist() == ids[0, :6].tolist()


def test_a_field_that_refuses_nulls_refuses_an_empty_text() -> None:
    content = SPECS["parquet"].model_dump(mode="json")
    for field in content["fields"]:
        if field["name"] in {"word", "tags"}:
            field["nulls"] = "refuse"
    schemas = RequestSchemas(DatasetSpec.model_validate(content), max_rows=9)
    context: dict[str, Any] = {"word": "tv", "amount": 1, "level": 1, "tags": "a"}
    schemas.predict.model_validate({"rows": [{"user": 1, "item": 1, "context": context}]})
    for name, empty in (("word", ""), ("tags", ""), ("tags", " | ")):
        with pytest.raises(ValueError, match="expected a value: the spec says 'nulls: refuse'"):
            schemas.predict.model_validate({"rows": [{"user": 1, "item": 1, "context": context | {name: empty}}]})
