"""Tables of the kinds that people bring, made up, with what each column is: the truth that drafts are held against."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

__all__ = ["MADE_UP", "Truth", "make"]


@dataclass(frozen=True)
class Truth:
    """What a draft should find.

    Attributes:
        kinds: field -> its kind; where both would do, both.
        left_out: columns that no field may read.
        label: of `Drafted`; likewise `time`, `user` and `item`.
        words: text that the findings or costs have to hold.
    """

    files: tuple[str, ...]
    label: str
    time: str | None
    user: str | None
    item: str | None
    kinds: dict[str, str | set[str]]
    left_out: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


Cases = Mapping[str, tuple[Callable[[Path, random.Random], None], Truth]]


def make(name: str, folder: Path, cases: Cases | None = None) -> tuple[list[str], Truth]:
    """Writes a case's tables into a folder; returns their paths and the truth."""
    write, truth = (MADE_UP if cases is None else cases)[name]
    write(folder, random.Random(7))
    return [str(folder / file) for file in truth.files], truth


def _rows(path: Path, rows: list[Any], *, separator: str = ",", encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=separator).writerows(rows)


def _clicks(folder: Path, draw: random.Random) -> None:
    """An ad log: hashed codes, the hour as digits, device for a person, a constant, a number for each row."""
    rows: list[Any] = [
        ["id", "click", "hour", "C1", "banner_pos", "site_id", "app_id", "device_id", "device_type", "C14"]
    ]
    devices = [f"{draw.getrandbits(32):08x}" for _ in range(150)]
    for n in range(3000):
        site = draw.randrange(30)
        click = int(draw.random() < 0.1 + 0.3 * (site % 3 == 0))
        rows.append([
            10**9 + draw.getrandbits(32), click, 14102100 + n // 500 * 100 + n % 500 // 21, 1005, draw.randrange(2),
            f"{site * 7919 + 10**8:08x}", f"{draw.randrange(20) + 2 * 10**8:08x}", draw.choice(devices),
            draw.choice([0, 1, 4]), 15000 + 7 * draw.randrange(200),
        ])  # fmt: skip
    _rows(folder / "log.csv", rows)


def _stars(folder: Path, draw: random.Random) -> None:
    """Ratings without a line of names, cells between double colons, films in latin-1, people as JSON lines."""
    with (folder / "ratings.dat").open("w", encoding="utf-8") as file:
        for n in range(3000):
            film = draw.randrange(1, 120)
            stars = min(5, max(1, draw.choice([1, 2, 3, 4, 5]) + film % 2))
            file.write(f"{draw.randrange(1, 200)}::{film}::{stars}::{960_000_000 + 4000 * n}\n")
    kinds = ["Drama", "Comedy", "Crime", "War"]
    with (folder / "films.dat").open("w", encoding="latin-1") as file:
        for film in range(1, 120):
            file.write(
                f"{film}::Le Café {film} ({1950 + film % 50})::{'|'.join(draw.sample(kinds, draw.choice([1, 2, 3])))}\n"
            )
    with (folder / "users.json").open("w", encoding="utf-8") as file:
        for person in range(1, 200):
            row = {"userID": person, "gender": draw.choice("FM"), "occupation": str(draw.randrange(21)),
                   "zipcode": f"{draw.randrange(99999):05d}"}  # fmt: skip
            file.write(json.dumps(row) + "\n")


def _purchases(folder: Path, draw: random.Random) -> None:
    """Purchases without a label, with semicolons, decimal commas, days before months and gaps in the customer."""
    rows: list[Any] = [
        ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
    ]
    for n in range(2000):
        ware = draw.randrange(90)
        when = f"{1 + n // 80 % 28:02d}.{1 + n // 2240:02d}.2011 {8 + n % 10:02d}:{n % 60:02d}"
        rows.append([536365 + n // 4, f"{85000 + ware}A", f"RÉD MUG NUMBER {ware} LARGE", draw.randrange(1, 20), when,
                     f"{1 + ware % 9},{ware:02d}", "" if draw.random() < 0.2 else 12000 + draw.randrange(150), "France"])  # fmt: skip
    _rows(folder / "retail.csv", rows, separator=";", encoding="latin-1")


def _slates(folder: Path, draw: random.Random) -> None:
    """What was shown with its outcome in one text, and a table of what can be shown; neither has a line of names."""
    topics = ["sports", "news", "finance", "health"]
    with (folder / "news.tsv").open("w", encoding="utf-8") as file:
        for n in range(120):
            file.write(
                f"N{n + 1000}\t{topics[n % 4]}\tThe headline of story {n} about {topics[n % 4]}"
                f" today\thttps://x.org/{n}\n"
            )
    with (folder / "behaviors.tsv").open("w", encoding="utf-8") as file:
        for n in range(900):
            shown = " ".join(
                f"N{1000 + one}-{int(place == 0)}"
                for place, one in enumerate(draw.sample(range(120), draw.choice([3, 5])))
            )
            file.write(
                f"{n + 1}\tU{draw.randrange(100)}\t11/{11 + n // 300}/2019 {1 + n % 12}:{n % 60:02d}:{n % 59:02d}"
                f" AM\t{shown}\n"
            )


def _reviews(folder: Path, draw: random.Random) -> None:
    """Reviews: their text tells the stars, and votes come later; gzipped JSON lines."""
    with gzip.open(folder / "reviews.jsonl.gz", "wt", encoding="utf-8") as file:
        for n in range(2500):
            stars = draw.choice([1, 2, 3, 4, 4, 5, 5, 5])
            words = "love great best perfect happy" if stars > 3 else "broken awful refund bad useless"
            file.write(json.dumps({
                "rating": float(stars), "text": f"{' '.join(draw.sample(words.split(), 3))} ordered it {n} days ago",
                "asin": f"B{draw.randrange(90):05d}", "user_id": f"A{draw.randrange(400):05d}",
                "timestamp": 1_500_000_000_000 + 18_000_000 * n, "helpful_vote": draw.randrange(5),
            }) + "\n")  # fmt: skip


def _census(folder: Path, draw: random.Random) -> None:
    """No person, no thing, no time, no names: numbers, words and a class."""
    with (folder / "adult.data").open("w", encoding="utf-8") as file:
        for _ in range(2500):
            age = draw.randrange(17, 90)
            rich = draw.random() < (age - 10) / 100
            file.write(f"{age}, {draw.choice(['Private', 'Self-employed', 'State'])}, {draw.choice(['Male', 'Female'])}, "
                       f"{0 if draw.random() < 0.9 else int(draw.expovariate(1 / 5000))}, {'>50K' if rich else '<=50K'}\n")  # fmt: skip


def _german(folder: Path, draw: random.Random) -> None:
    """Odd names, yes and no as letters, nothing in one column, the label in two others under other names."""
    rows: list[Any] = [["Customer Number", "Product Code", "Newsletter?", "All Null", "Saldo (EUR)", "Constant", "Date",
                        "leak", "order id", "Clicked"]]  # fmt: skip
    for n in range(2500):
        clicked = draw.random() < 0.3
        day, minute = divmod(n * 17, 1440)
        rows.append([draw.randrange(200), f"{draw.randrange(60):05d}", draw.choice("YN"), "",
                     f"{draw.expovariate(0.01):.2f}".replace(".", ","), "x",
                     f"{1 + day % 28:02d}.{1 + day // 28:02d}.2024 {minute // 60:02d}:{minute % 60:02d}",
                     17 if clicked else 3, n if clicked else "", "Y" if clicked else "N"])  # fmt: skip
    _rows(folder / "clicks.csv", rows, separator=";")


def _database(folder: Path, _: random.Random) -> None:
    """Three tables of a DuckDB file."""
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE clicks AS SELECT CAST(i % 300 AS INT) AS member_id, 'SKU' || (i * 7919 % 150) AS sku, "
            "TIMESTAMPTZ '2024-03-01 00:00:00+00' + to_minutes(CAST(i AS INT)) AS happened_at, "
            "CAST(hash(i) % 10 < 3 AS INT) AS is_click, CAST(i % 3 AS INT) AS slot FROM range(4000) t(i)"
        )
        connection.execute(
            "CREATE TABLE members AS SELECT CAST(i AS INT) AS id, CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END AS gender, "
            "18 + (i * 37 % 60) AS age FROM range(300) t(i)"
        )
        connection.execute(
            "CREATE TABLE products AS SELECT 'SKU' || i AS sku, 'Fine product ' || i AS name, i % 17 * 1.5 AS price, "
            "['red', 'blue'][1:1 + i % 2] AS colours FROM range(150) t(i)"
        )


def _campaigns(folder: Path, draw: random.Random) -> None:
    """Impressions and clicks in numbers, day by day."""
    rows: list[Any] = [["ad_id", "date", "network", "impressions", "clicks", "ctr"]]
    for day in range(60):
        for ad in range(20):
            shown = draw.randrange(50, 400)
            clicks = sum(draw.random() < 0.02 + 0.01 * (ad % 5) for _ in range(shown))
            rows.append([f"ad{ad}", f"2024-0{1 + day // 28}-{1 + day % 28:02d}", draw.choice(["search", "social"]), shown, clicks,
                         round(clicks / shown, 4)])  # fmt: skip
    _rows(folder / "campaigns.csv", rows)


def _actions(folder: Path, draw: random.Random) -> None:
    """Kinds of events in milliseconds, and a number that only purchases have."""
    rows: list[Any] = [["timestamp", "visitorid", "event", "itemid", "transactionid"]]
    for n in range(20000):
        event = draw.choices(["view", "addtocart", "transaction"], [85, 5, 10])[0]
        rows.append([1_433_221_332_117 + 10_000 * n, draw.randrange(900), event, draw.randrange(200),
                     n if event == "transaction" else ""])  # fmt: skip
    _rows(folder / "events.csv", rows)


_C, _N, _M, _T = "categorical", "numeric", "multi_valued", "timestamp_part"
MADE_UP: dict[str, tuple[Callable[[Path, random.Random], None], Truth]] = {
    "an ad log": (_clicks, Truth(
        ("log.csv",), "click", "hour", "device_id", "app_id",
        {"device_id": _C, "app_id": _C, "banner_pos": _C, "site_id": _C, "device_type": _C, "C14": _C, "hour": _T, "weekday": _T},
        left_out=("log.id", "log.C1"),
    )),
    "star ratings without names": (_stars, Truth(
        ("ratings.dat", "films.dat", "users.json"), "column_3 > 3, without 3", "column_4", "userID", "item_id",
        {"userID": _C, "gender": _C, "occupation": _C, "zipcode": _C, "item_id": _C, "title": _C, "release_year": _C,
         "genres": _M, "hour": _T, "weekday": _T},
    )),
    "purchases": (_purchases, Truth(
        ("retail.csv",), "every row, against drawn ones", "InvoiceDate", "CustomerID", "StockCode",
        {"CustomerID": _C, "StockCode": _C, "Description": _C, "UnitPrice": _N, "Quantity": _N, "hour": _T, "weekday": _T},
        left_out=("retail.InvoiceNo", "retail.Country"), words=("every row is a choice",),
    )),
    "slates": (_slates, Truth(
        ("behaviors.tsv", "news.tsv"), "column_4 marked 1", "column_3", "user_id", "item_id",
        {"user_id": _C, "item_id": _C, "code": _C, "title": _C, "shown_count": {_C, _N}, "hour": _T, "weekday": _T},
        left_out=("behaviors.column_1", "news.column_4"), words=("one row for each thing that was shown",),
    )),
    "reviews": (_reviews, Truth(
        ("reviews.jsonl.gz",), "rating > 3, without 3", "timestamp", "user_id", "asin",
        {"user_id": _C, "asin": _C, "hour": _T, "weekday": _T},
        left_out=("reviews.text", "reviews.helpful_vote"), words=("the words of 'text' tell the label",),
    )),
    "a census": (_census, Truth(
        ("adult.data",), "column_5 =  >50K", None, None, None,
        {"column_1": _N, "column_2": _C, "column_3": _C, "column_4": _N},
        words=("no column tells a time", "no column says the user", "no column says the item"),
    )),
    "odd names and decimal commas": (_german, Truth(
        ("clicks.csv",), "Clicked = Y", "Date", "Customer Number", "Product Code",
        {"Customer Number": _C, "Product Code": _C, "Newsletter?": _C, "Saldo (EUR)": _N, "hour": _T, "weekday": _T},
        left_out=("clicks.All Null", "clicks.Constant", "clicks.leak", "clicks.order id"),
        words=("'leak' knows the label", "'order id' knows the label: by whether it is empty"),
    )),
    "a database": (_database, Truth(
        ("shop.duckdb",), "is_click", "happened_at", "member_id", "sku",
        {"member_id": _C, "gender": _C, "age": _N, "sku": _C, "name": _C, "price": _N, "colours": _M, "slot": _C, "hour": _T,
         "weekday": _T},
    )),
    "counts": (_campaigns, Truth(
        ("campaigns.csv",), "clicks of impressions", "date", None, "ad_id",
        {"ad_id": _C, "network": _C, "weekday": _T},
        left_out=("campaigns.ctr",), words=("drawn from the counts",),
    )),
    "kinds of events": (_actions, Truth(
        ("events.csv",), "event = transaction", "timestamp", "visitorid", "itemid",
        {"visitorid": _C, "itemid": _C, "hour": _T, "weekday": _T},
        left_out=("events.transactionid",), words=("'transactionid' knows the label: by whether it is empty",),
    )),
}  # fmt: skip
