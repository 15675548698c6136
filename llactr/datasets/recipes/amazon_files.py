"""The files of Amazon Reviews 2023, one JSON object a line, plain or gzipped, read into two tables.

```
reviews   user_id, parent_asin, rating, timestamp (milliseconds since 1970, UTC), verified_purchase; in the file's order
items     parent_asin, main_category, title, store, medium, categories, features, description, details, price,
          available_year, average_rating, rating_number
```

What the raw files hold, and what becomes of it:

- A price is a number, null, or text such as `$1,299.99`, `from 14.99`, `—` or `None`: the first number in it, or null.
- `features` and `categories` are lists of texts: joined by `|` (a `|` inside a text becomes `/`). `description` is a
  list of paragraphs: joined by spaces. Empty lists are null.
- `details` is an object of any keys, some of which hold objects: `Brand: amFilm|Item Weight: 3.52 ounces`, and
  `Battery / Type: AA` for a nested one. `Best Sellers Rank` is left out: it is the rank on the day of the crawl, after
  every review. `Date First Available` becomes `available_year`.
- `store` is `BTS   Format: Audio CD` for music: split into `store` and `medium`.
- Of several lines for one `parent_asin` the last holds. A review that a file repeats stays as often as it is there: the
  published protocol keeps them.
- `average_rating` and `rating_number` count reviews up to the crawl, those of the test split among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.errors import DataError
from llactr.sql import connect, json_lines_scan, parquet_scan, quote_identifier, quote_literal

__all__ = ["SEPARATOR", "write_items", "write_reviews"]

SEPARATOR = "|"
_REVIEWS = {
    "user_id": "VARCHAR",
    "parent_asin": "VARCHAR",
    "rating": "DOUBLE",
    "timestamp": "BIGINT",
    "verified_purchase": "BOOLEAN",
}
_KEYS = ("user_id", "parent_asin", "rating", "timestamp")
_META = {
    "parent_asin": "VARCHAR",
    "main_category": "VARCHAR",
    "title": "VARCHAR",
    "store": "VARCHAR",
    "categories": "JSON",
    "features": "JSON",
    "description": "JSON",
    "details": "JSON",
    "price": "JSON",
    "average_rating": "DOUBLE",
    "rating_number": "BIGINT",
}
_TEXT = ("parent_asin", "main_category", "title", "store", "medium", "categories", "features", "description", "details")
_ITEMS = pa.schema(
    {
        **dict.fromkeys(_TEXT, pa.string()),
        "price": pa.float64(),
        "available_year": pa.int64(),
        "average_rating": pa.float64(),
        "rating_number": pa.int64(),
    }
)
_BATCH_ITEMS = 1 << 13
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_MEDIUM = re.compile(r"\s*\bFormat:\s*(.*)$")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_AVAILABLE = "Date First Available"
_LEFT_OUT = frozenset({"Best Sellers Rank", _AVAILABLE})


def write_reviews(source: Path, target: Path) -> dict[str, int]:
    """Writes the reviews of a raw file to a Parquet file; they stream through DuckDB, which spills.

    Returns:
        `rows`, and how many of them are `repeated`: same user, item and millisecond as another one.

    Raises:
        DataError: a line is not JSON, lacks a key, or has a value of another type.
    """
    names = ", ".join(quote_identifier(name) for name in _REVIEWS)
    with connect(temporary=target.parent / "spilled") as connection:
        _run(
            connection,
            source,
            f"COPY (SELECT {names} FROM {json_lines_scan(source, _REVIEWS)}) TO {quote_literal(str(target))} "
            "(FORMAT parquet, COMPRESSION zstd)",
        )
        table = parquet_scan(target)
        counts = ", ".join(f"count({quote_identifier(name)})" for name in _KEYS)
        rows, *filled = _one_row(connection, f"SELECT count(*), {counts} FROM {table}")
        _check_filled(source, rows, dict(zip(_KEYS, filled, strict=True)))
        (distinct,) = _one_row(
            connection, f"SELECT count(*) FROM (SELECT DISTINCT user_id, parent_asin, timestamp FROM {table})"
        )
    return {"rows": rows, "repeated": rows - distinct}


def write_items(source: Path, target: Path) -> int:
    """Writes the items of a raw metadata file to a Parquet file; returns how many there are.

    Raises:
        DataError: a line is not JSON, lacks its `parent_asin`, or has a value of another type.
    """
    names = ", ".join(quote_identifier(name) for name in _META)
    lines = f"(SELECT *, row_number() OVER () AS line FROM {json_lines_scan(source, _META)})"
    last = "QUALIFY row_number() OVER (PARTITION BY parent_asin ORDER BY line DESC) = 1"
    count = 0
    with connect(temporary=target.parent / "spilled") as connection:
        _run(connection, source, f"CREATE TABLE items AS SELECT {names}, line FROM {lines} {last}")
        rows, filled = _one_row(connection, "SELECT count(*), count(parent_asin) FROM items")
        _check_filled(source, rows, {"parent_asin": filled})
        reader = connection.execute(f"SELECT {names} FROM items ORDER BY line").to_arrow_reader(_BATCH_ITEMS)
        with pq.ParquetWriter(target, _ITEMS, compression="zstd") as writer:
            for batch in reader:
                items = [_item(row, source) for row in batch.to_pylist()]
                writer.write_table(pa.Table.from_pylist(items, schema=_ITEMS))
                count += len(items)
    return count


def _run(connection: duckdb.DuckDBPyConnection, source: Path, query: str) -> None:
    try:
        connection.execute(query)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].split(": ", 1)[-1].strip().removesuffix(".")
        reason = reason.replace(f'in file "{source}", ', "")
        raise DataError(
            f"{source.name} is not Amazon Reviews 2023 with one JSON object a line ({reason}): get the file again"
        ) from None


def _one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    return tuple(column[0].as_py() for column in connection.execute(query).to_arrow_table().columns)


def _check_filled(source: Path, rows: int, filled: dict[str, int]) -> None:
    if not rows:
        raise DataError(f"{source.name} is empty: get the file again")
    for name, count in filled.items():
        if count < rows:
            raise DataError(
                f"{source.name}: {rows - count} of {rows} lines have no {name!r}, which Amazon Reviews 2023 has: "
                "check that the file is of that release (older ones have other keys), or get it again"
            )


def _item(row: dict[str, Any], source: Path) -> dict[str, Any]:
    """The table's row of one item."""
    details = _parsed(row["details"])
    if isinstance(details, str):  # some copies hold the object as a text
        try:
            details = orjson.loads(details)
        except orjson.JSONDecodeError:
            details = {"Details": details}
    if not isinstance(details, dict):
        details = {}
    medium = _MEDIUM.search(row["store"] or "")
    year = _YEAR.search(str(details.get(_AVAILABLE, "")))
    return {
        **{name: row[name] for name in ("parent_asin", "average_rating", "rating_number")},
        "main_category": _clean(row["main_category"]),
        "title": _clean(row["title"]),
        "store": _clean(row["store"][: medium.start()] if medium else row["store"]),
        "medium": _clean(medium[1]) if medium else None,
        "categories": _joined(_texts(row, "categories", source), SEPARATOR),
        "features": _joined(_texts(row, "features", source), SEPARATOR),
        "description": _joined(_texts(row, "description", source), " "),
        "details": _joined(_pairs(details), SEPARATOR),
        "price": _price(_parsed(row["price"])),
        "available_year": int(year[0]) if year else None,
    }


def _parsed(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _texts(row: dict[str, Any], name: str, source: Path) -> list[str]:
    value = _parsed(row[name])
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise DataError(
            f"{source.name}: {name!r} of item {row['parent_asin']!r} is {value!r}, expected a list of texts: "
            "get the file again"
        )
    return [part for part in value if isinstance(part, str)]


def _pairs(details: dict[str, Any], above: str = "") -> list[str]:
    """`key: value` of an object, of the objects in it as well; ranks and dates of the crawl are left out."""
    pairs = []
    for key, value in details.items():
        if key in _LEFT_OUT or value is None:
            continue
        if isinstance(value, dict):
            pairs += _pairs(value, f"{above}{key} / ")
        else:
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            pairs += [f"{above}{key}: {words}"] if words.strip() else []
    return pairs


def _joined(texts: Iterable[str], separator: str) -> str | None:
    cleaned = (_clean(text.replace(SEPARATOR, "/") if separator == SEPARATOR else text) for text in texts)
    return separator.join(text for text in cleaned if text) or None


def _clean(text: str | None) -> str | None:
    return " ".join(text.split()) or None if text is not None else None


def _price(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _NUMBER.search(value) if isinstance(value, str) else None
    return float(found[0].replace(",", "")) if found else None
