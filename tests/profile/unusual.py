"""Small tables that are written unusually, and what is wrong with tables that cannot be drafted from."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["REFUSED", "UNUSUAL", "Found", "as_csv", "as_json", "rows"]

AT, COUNT = 1_700_000_000, 400
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a draft of a table should say.

    Attributes:
        files: of the table; `label`, `time`, `user` and `item` are those of `Drafted`.
        rows: of the draft, and of what is ingested.
        fields: some that it has to have.
        said: words of a finding or a cost; `options` are what is said beside the table.
    """

    files: tuple[str, ...] = ("log.csv",)
    label: str = "clicked"
    time: str | None = "ts"
    user: str | None = "user_id"
    item: str | None = "item_id"
    rows: int = 400
    fields: tuple[str, ...] = ("device",)
    said: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def rows(count: int | None = None) -> list[Row]:
    """Clicks of 40 people on 25 things, odd things more often."""
    draw = random.Random(5)
    found = []
    for n in range(count or COUNT):
        item = draw.randrange(25)
        found.append({
            "user_id": draw.randrange(40), "item_id": item, "ts": AT + 900 * n, "device": draw.choice(["phone", "pc"]),
            "clicked": int(draw.random() < (0.7 if item % 2 else 0.2)),
        })  # fmt: skip
    return found


def as_csv(path: Path, table: list[Row], *, before: str = "") -> None:
    """Writes rows, after some lines of text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(before)
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def as_json(path: Path, content: Any) -> None:
    """Writes JSON."""
    path.write_text(json.dumps(content), encoding="utf-8")


def _changed(change: Callable[[int, Row], Row], *, before: str = "") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        as_csv(folder / "log.csv", [change(n, row) for n, row in enumerate(rows())], before=before)

    return write


def _times(spell: Callable[[int], Any]) -> Callable[[Path], None]:
    return _changed(lambda n, row: {**row, "ts": spell(row["ts"])})


def _moment(form: str) -> Callable[[int], str]:
    return lambda at: datetime.fromtimestamp(at, UTC).strftime(form)


def _columns(**more: Callable[[int], Any]) -> Callable[[Path], None]:
    """Parquet with more columns."""

    def write(folder: Path) -> None:
        table = pa.Table.from_pylist(rows())
        for name, make in more.items():
            table = table.append_column(name, make(len(table)))
        pq.write_table(table, folder / "log.parquet")

    return write


def _floats(folder: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{**row, "ts": row["ts"] + 0.5} for row in rows()]), folder / "log.parquet")


def _uneven(folder: Path) -> None:
    _changed(lambda n, row: row)(folder)
    lines = (folder / "log.csv").read_text(encoding="utf-8").splitlines()
    lines[300] += ",more"
    (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(spell: Callable[[Row], str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        lines = ["user_id,item_id,ts,device,clicked", *(spell(row) for row in rows())]
        (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


def _days(folder: Path) -> None:
    (folder / "days").mkdir()
    as_csv(folder / "days" / "2024-05-01.csv", rows()[:150])
    as_csv(folder / "days" / "2024-05-02.csv", rows()[150:])
    (folder / "days" / "_SUCCESS").touch()


def _orders(folder: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows()[:150]), folder / "a.parquet")
    pq.write_table(pa.Table.from_pylist([dict(reversed(row.items())) for row in rows()[150:]]), folder / "b.parquet")


def _view(folder: Path) -> None:
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.register("log", pa.Table.from_pylist(rows()))
        connection.execute("CREATE TABLE events AS SELECT * FROM log")
        connection.execute("CREATE VIEW latest AS SELECT * FROM events")


def _second(folder: Path) -> None:
    """Returns are events of their own: that they were written at the same moments makes them no part of a click."""
    _changed(lambda n, row: row)(folder)
    as_csv(
        folder / "returns.csv", [{**row, "why": f"w{n % 4}"} for n, row in enumerate(rows()[:100]) if row.pop("device")]
    )


def _versions(folder: Path, since: Callable[[int], Any]) -> None:
    _changed(lambda n, row: row)(folder)
    prices = [{"item_id": n % 25, "price": n, "valid_from": since(AT - 86_400 + n // 25 * 90_000)} for n in range(75)]
    as_csv(folder / "prices.csv", prices)


def _prices_twice(folder: Path) -> None:
    """Two prices of a thing at one moment, of which the later line was written last; and one without a moment."""
    _changed(lambda n, row: row)(folder)
    prices = [{"item_id": n % 25, "price": n, "valid_from": AT - 86_400 + n // 50 * 90_000} for n in range(100)]
    as_csv(folder / "prices.csv", [*prices, {"item_id": 3, "price": 7, "valid_from": ""}])


def _repeated(folder: Path) -> None:
    _changed(lambda n, row: row)(folder)
    as_csv(folder / "items.csv", [{"item_id": n % 25, "colour": "rgb"[n % 3]} for n in range(50)])


def _retail(folder: Path) -> None:
    """A shop's rows, as pandas writes whole numbers where some are missing; every fifth buyer is unknown."""
    table = [
        {"StockCode": f"S{row['item_id']}", "InvoiceDate": _moment("%m/%d/%Y %H:%M")(row["ts"]), "UnitPrice": row["user_id"] / 4,
         "CustomerID": f"{row['user_id']}.0" if n % 5 else ""}
        for n, row in enumerate(rows())
    ]  # fmt: skip
    as_csv(folder / "log.csv", table)


_SPELLED = (("no", "No", "NO"), ("yes", "Yes", "YES"))

UNUSUAL: Mapping[str, tuple[Callable[[Path], None], Found]] = {
    "seconds with fractions": (_floats, Found(files=("log.parquet",))),
    "seconds as 1.7e9": (_times(lambda at: f"{at:.9e}"), Found()),
    "afternoons": (_times(_moment("%b %d, %Y %I:%M:%S %p")), Found()),
    "Java": (_times(_moment("%Y-%m-%dT%H:%M:%S+01:00[Europe/Berlin]")), Found()),
    "lines in a cell": (
        _changed(lambda n, row: {**row, "note": f'one {n % 9},\nand "two" {n % 7}'}), Found(fields=("device", "note"))
    ),
    "remarks before the table": (_changed(lambda n, row: row, before="# by hand\n# 2024\n"), Found()),
    "a title before the table": (_changed(lambda n, row: row, before="All clicks of May\n\n"), Found()),
    "a line with a cell too many": (_uneven, Found()),
    "names that differ by capitals": (
        _columns(Device=lambda n: pa.array([f"d{i % 4}" for i in range(n)])), Found(files=("log.parquet",))
    ),
    "spans of time": (
        _columns(stay=lambda n: pa.array([i % 90 for i in range(n)], pa.duration("s"))),
        Found(files=("log.parquet",), fields=("device", "stay")),
    ),
    "a view of the same rows": (
        _view, Found(files=("shop.duckdb",), said="'latest' is not used: it has the columns of 'events'")
    ),
    "two kinds of events": (_second, Found(files=("log.csv", "returns.csv"), said="'returns' is not used")),
    "prices over time, in seconds": (
        lambda folder: _versions(folder, lambda at: at), Found(files=("log.csv", "prices.csv"), fields=("price",))
    ),
    "prices over time, with a zone": (
        lambda folder: _versions(folder, _moment("%Y-%m-%dT%H:%M:%SZ")),
        Found(files=("log.csv", "prices.csv"), fields=("price",)),
    ),
    "prices over time, without a zone": (
        lambda folder: _versions(folder, _moment("%Y-%m-%d %H:%M:%S")),
        Found(files=("log.csv", "prices.csv"), fields=("price",)),
    ),
    "prices over time, in German": (
        lambda folder: _versions(folder, _moment("%d.%m.%Y %H:%M")),
        Found(files=("log.csv", "prices.csv"), fields=("price",)),
    ),
    "prices over time, some of one moment or of none": (
        _prices_twice, Found(files=("log.csv", "prices.csv"), fields=("price",))
    ),
    "things twice": (
        _repeated, Found(files=("log.csv", "items.csv"), said="25 of its rows looked at repeat the 'item_id' of another")
    ),
    "whole numbers with .0": (
        _retail,
        Found(label="every row, against drawn ones", time="InvoiceDate", user="CustomerID", item="StockCode", rows=0,
              fields=("UnitPrice",), said="20.0% have no user in 'CustomerID'; --user none would keep them"),
    ),
    "yes in three spellings": (
        _changed(lambda n, row: {**row, "clicked": _SPELLED[row["clicked"]][n % 3]}), Found()
    ),
    "on and off": (
        _changed(lambda n, row: {**row, "clicked": ["off", "on"][row["clicked"]]}), Found(label="clicked = on")
    ),
    "a label of an odd name": (
        _changed(lambda n, row: {**{k: v for k, v in row.items() if k != "clicked"}, "zz7": row["clicked"]}),
        Found(label="zz7"),
    ),
    "labels that are missing": (
        _changed(lambda n, row: {**row, "clicked": row["clicked"] if n % 10 else ""}),
        Found(rows=360, said="10.0% of the rows are left out: 10.0% have no label in 'clicked'"),
    ),
    "a label that tells what became of it": (
        _changed(lambda n, row: {**{k: v for k, v in row.items() if k != "clicked"}, "fate": ["skipped", "taken"][row["clicked"]]}),
        Found(label="fate = taken"),
    ),
    "moments that cannot be": (
        _times(lambda at: ("0000-00-00 00:00:00", "9999-12-31 00:00:00")[at // 900 % 2] if at // 900 % 100 < 2 else
               _moment("%Y-%m-%d %H:%M:%S")(at)),
        Found(rows=392, said="2.0% of the rows are left out: a key, a label or a moment of theirs cannot be read"),
    ),
    "an hour that clocks skipped": (
        _times(lambda at: "2024-03-31 02:30:00" if at // 900 % 100 == 0 else _moment("%Y-%m-%d %H:%M:%S")(at)),
        Found(options={"zone": "Europe/Berlin"}),
    ),
    "apostrophes around cells": (
        _lines(lambda row: f"{row['user_id']},{row['item_id']},{row['ts']},'{row['device']}, new',{row['clicked']}"), Found()
    ),
    "backslashes before quotes": (
        _lines(lambda row: f'{row["user_id"]},{row["item_id"]},{row["ts"]},"a \\"{row["device"]}\\", new",{row["clicked"]}'),
        Found(),
    ),
    "a folder of days in CSV": (_days, Found(files=("days",))),
    "columns in another order": (_orders, Found(files=("a.parquet", "b.parquet"))),
    "kinds of events of which one is known": (
        _changed(lambda n, row: {**{k: v for k, v in row.items() if k != "clicked"}, "reference": "Ulm" if n % 10 == 0 else n % 50 + 1,
                                 "action_type": ["search for poi", "clickout item"][row["clicked"]]}),
        Found(label="action_type = clickout item", fields=("device", "reference")),
    ),
    "codes of a person, and no person": (
        _changed(lambda n, row: {**{k: v for k, v in row.items() if k != "user_id"}, "user_feature_0": f"h{row['user_id']}"}),
        Found(user=None, said="no column says the user"),
    ),
    "one record that lists all": (
        lambda folder: as_json(folder / "log.json", {"count": 400, "data": rows()}), Found(files=("log.json",))
    ),
    "Chinese names": (
        _changed(lambda n, row: {"用户": row["user_id"], "商品": row["item_id"], "时间": row["ts"], "device": row["device"],
                                 "点击": row["clicked"]}),
        Found(label="点击", time="时间", user="用户", item="商品"),
    ),
}  # fmt: skip
"""Name -> what writes the files, and what is to be found."""


def _bytes(name: str, data: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return write


def _schema(folder: Path) -> None:
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute("CREATE SCHEMA sales; CREATE TABLE sales.log AS SELECT 1 AS clicked")


def _half(folder: Path) -> None:
    text = "\n".join(",".join(map(str, row.values())) for row in rows())
    data = gzip.compress(f"user_id,item_id,ts,device,clicked\n{text}\n".encode())
    (folder / "log.csv.gz").write_bytes(data[:-200])


REFUSED: Mapping[str, tuple[str, Callable[[Path], None], str]] = {
    "a workbook": ("log.xlsx", _bytes("log.xlsx", b"PK\x03\x04more"), "is a workbook of sheets: save the sheet with"),
    "half a file": ("log.csv.gz", _half, "cannot be unpacked .*: check that it is whole"),
    "no database": (
        "shop.duckdb", _bytes("shop.duckdb", bytes(8) + b"DUCK" + b"\xff" * 500), "cannot be opened by DuckDB"
    ),
    "a database of another schema": (
        "shop.duckdb", _schema, "holds no table in its schema main, but sales.log: copy them there"
    ),
    "Python's dictionaries": (
        "log.json", _bytes("log.json", b"{u'user': 1, 'ok': True}\n"), "as Python prints them, and no JSON: write them as"
    ),
    "a folder of nothing": (
        "days", lambda folder: (folder / "days").mkdir(), "holds no Parquet, CSV or JSON file: name the files"
    ),
    "a list in a record": (
        "log.json",
        lambda folder: as_json(folder / "log.json", {"count": 400, "page": 1, "next": 2, "by": "us", "data": rows()}),
        "is one record, and 'data' holds a list: write that list alone",
    ),
    "no click": (
        "log.csv", _changed(lambda n, row: {**row, "clicked": 0}),
        "by 'clicked' all 400 rows are no clicks, and a model needs both; or say --label none",
    ),
    "clicks or nothing": (
        "log.csv", _changed(lambda n, row: {**row, "clicked": row["clicked"] or ""}),
        r"'clicked' holds '1' or nothing \(.*% of its rows are empty\): write 0 where it was no click",
    ),
    "one column": (
        "log.csv", _changed(lambda n, row: {"x": row["item_id"], "clicked": row["clicked"]}),
        "needs two fields, and only 'x' can be one: give a table with more columns",
    ),
    "a label alone": (
        "log.csv", _changed(lambda n, row: {"row": "same", "clicked": row["clicked"]}),
        "needs two fields, and no column can be one: .*; row: all rows have the same value",
    ),
}  # fmt: skip
"""Name -> the file, what writes it, and the sentence that refuses it."""
