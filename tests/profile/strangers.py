"""More tables of the kinds that people bring: in German, records within records, news with commas, days and clocks apart."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.profile.made_up import Cases, Truth

__all__ = ["STRANGERS"]

_C, _N, _M, _T = "categorical", "numeric", "multi_valued", "timestamp_part"
_AT = 1_700_000_000


def _shop(folder: Path, draw: random.Random) -> None:
    """A German shop: a mark of byte order, semicolons, decimal commas, ja and nein, days before months."""
    lines = ["Kunde;Artikel;Zeitpunkt;Preis;Gerät;gekauft"]
    for n in range(1500):
        day = f"{n // 54 + 1:02d}.03.2024 {n % 24:02d}:{n % 60:02d}:00"
        price = f"{draw.gammavariate(2, 200):,.2f}".translate(str.maketrans(",.", ".,"))
        article = draw.randrange(60)
        bought = "ja" if draw.random() < (0.7 if article % 2 else 0.2) else "nein"
        lines.append(f"K{draw.randrange(90):04d};A{article};{day};{price};{draw.choice(['Händy', 'PC'])};{bought}")
    (folder / "verkauf.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def _records(folder: Path, draw: random.Random) -> None:
    """Records within records, and lists of records, in Parquet."""
    rows = []
    for n in range(1500):
        who, what = draw.randrange(90), draw.randrange(60)
        rows.append({
            "user": {"id": who, "age": 20 + who % 40, "home": {"town": ["Graz", "Wien", None][who % 3]}},
            "item": {"id": what}, "ts": _AT + 900 * n, "seen": [{"a": 1, "b": n}],
            "clicked": int(draw.random() < (0.7 if what % 2 else 0.2)),
        })  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "log.parquet")


def _lines(folder: Path, draw: random.Random) -> None:
    """The same as JSON lines, and things in a file of their own with texts and details."""
    with (folder / "clicks.jsonl").open("w", encoding="utf-8") as file:
        for n in range(1500):
            what = draw.randrange(60)
            row = {"by": {"user_id": f"u{draw.randrange(90)}"}, "asin": f"B{what:03d}", "at": (_AT + 900 * n) * 10**9,
                   "click": draw.random() < (0.7 if what % 2 else 0.2)}  # fmt: skip
            file.write(json.dumps(row) + "\n")
    with (folder / "products.jsonl").open("w", encoding="utf-8") as file:
        for n in range(60):
            details: dict[str, Any] = {"brand": f"Maker {n % 7}", "photos": [{"url": f"https://x.y/{n}.png"}]}
            file.write(json.dumps({"asin": f"B{n:03d}", "title": f"Thing {n} of kind {n % 9}", "details": details}))
            file.write("\n")


def _news(folder: Path, draw: random.Random) -> None:
    """Impressions such as N1-0 N2-1, and news whose headlines and entities are full of commas and quotes."""
    with (folder / "behaviors.tsv").open("w", encoding="utf-8") as file:
        for n in range(500):
            shown = draw.sample(range(60), 4)
            clicked = max(shown, key=lambda one: one % 7 + 3 * draw.random())
            marked = " ".join(f"N{one}-{int(one == clicked)}" for one in shown)
            past = " ".join(f"N{draw.randrange(60)}" for _ in range(draw.randrange(5)))
            when = f"11/{n // 20 + 1}/2019 {n % 12 + 1}:{n % 60:02d}:05 {'AM' if n % 3 else 'PM'}"
            file.write(f"{n + 1}\tU{draw.randrange(80)}\t{when}\t{past}\t{marked}\n")
    with (folder / "news.tsv").open("w", encoding="utf-8") as file:
        for n in range(60):
            entities = json.dumps([{"Label": f"Place {n % 9}", "WikidataId": f"Q{n}", "Confidence": 1.0}])
            file.write(f"N{n}\t{['sports', 'finance'][n % 2]}\tMarkets, {n} and {n % 9}\thttps://x.y/{n}\t{entities}\n")


def _visits(folder: Path, draw: random.Random) -> None:
    """The day and the time of day in two columns; a cell with a comma and quotes in it; a column without a name."""
    lines = ["User ID ,Item Name,Clicked?,Date,Time,"]
    for n in range(1500):
        what = draw.randrange(60)
        click = int(draw.random() < (0.7 if what % 2 else 0.2))
        clock = f"2024-{n // 150 + 1:02d}-{n % 150 // 6 + 1:02d},{draw.randrange(24):02d}:{draw.randrange(60):02d}:{n % 60:02d}"
        lines.append(f'{draw.randrange(90)},"Thing {what}, ""large""",{click},{clock},{n}')
    (folder / "my visits (1).csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _bank(folder: Path, draw: random.Random) -> None:
    """A table of people, each of whom comes once: whose job is no thing, and whose age is no person."""
    lines = ["age,job,city,when,y"]
    for n in range(1500):
        job = draw.choice(["baker", "cook", "smith", "clerk"])
        y = 1 if draw.random() < (0.6 if job == "cook" else 0.2) else -1
        lines.append(f"{draw.randrange(18, 80)},{job},c{draw.randrange(40)},{_AT + 3600 * n},{y}")
    (folder / "bank.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _hashes(folder: Path, draw: random.Random) -> None:
    """Criteo's: a label, counts with gaps and hashes without names; no users, things or time."""
    lines = []
    for _ in range(1500):
        kind = draw.randrange(12)
        label = int(draw.random() < (0.6 if kind % 2 else 0.2))
        counts = ["" if draw.random() < 0.2 else str(int(draw.expovariate(0.05))) for _ in range(3)]
        lines.append(
            "\t".join([str(label), *counts, f"{kind * 2654435761 % 2**32:08x}", f"{draw.randrange(2**9):08x}"])
        )
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


STRANGERS: Cases = {
    "a German shop": (_shop, Truth(
        ("verkauf.csv",), "gekauft = ja", "Zeitpunkt", "Kunde", "Artikel",
        {"Kunde": _C, "Artikel": _C, "Preis": _N, "Gerät": _C, "hour": _T, "weekday": _T},
    )),
    "records": (_records, Truth(
        ("log.parquet",), "clicked", "ts", "user_id", "item_id",
        {"user_id": _C, "user_age": _N, "user_home_town": _C, "item_id": _C, "hour": _T, "weekday": _T},
        left_out=("log.seen",),
    )),
    "records in JSON lines": (_lines, Truth(
        ("clicks.jsonl", "products.jsonl"), "click", "at", "by_user_id", "asin",
        {"by_user_id": _C, "asin": _C, "title": _C, "details_brand": _C, "hour": _T, "weekday": _T},
        left_out=("products.details_photos",),
    )),
    "news with commas": (_news, Truth(
        ("behaviors.tsv", "news.tsv"), "column_5 marked 1", "column_3", "user_id", "item_id",
        {"user_id": _C, "item_id": _C, "code": _C, "title": _C, "column_4": _M, "shown_count": {_C, _N}, "hour": _T,
         "weekday": _T},
        left_out=("news.column_4", "news.column_5"), words=("one row for each thing that was shown",),
    )),
    "days and clocks apart": (_visits, Truth(
        ("my visits (1).csv",), "Clicked?", "Date", "User ID", "Item Name",
        {"User ID": _C, "Item Name": _C, "hour": _T, "weekday": _T}, left_out=("my_visits_1.column_6",),
    )),
    "a bank": (_bank, Truth(
        ("bank.csv",), "y > 0", "when", None, None,
        {"age": _N, "job": _C, "city": _C, "hour": _T, "weekday": _T}, words=("no column says the user",),
    )),
    "hashes without names": (_hashes, Truth(
        ("train.txt",), "column_1", None, None, None,
        {"column_2": _N, "column_3": _N, "column_4": _N, "column_5": _C, "column_6": _C},
        words=("no column tells a time",),
    )),
}  # fmt: skip
"""As `MADE_UP`."""
