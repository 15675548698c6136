"""Small made-up tables in the formats of public logs: their names of columns, their ways of writing values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.profile.unusual import AT, Found, as_csv, rows

__all__ = ["PROPERTIES_AT", "PUBLIC", "UNREADABLE"]

PROPERTIES_AT = AT * 1000 + 200 * 900_000
"""The moment, in ms, at which every thing's category changes."""
_DAY_2024 = 45_292
"""1 January 2024 as workbooks count days."""


def _lines(name: str, lines: list[str], folder: Path) -> None:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _of(name: str, spell: Callable[[int, dict[str, Any]], str], header: str = "") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        body = [spell(n, row) for n, row in enumerate(rows())]
        _lines(name, [header, *body] if header else body, folder)

    return write


def _retailrocket(folder: Path) -> None:
    """Kinds of events, and what is known of things one property a row, each from a moment on."""
    events = [
        {"timestamp": row["ts"] * 1000, "visitorid": row["user_id"], "event": ["view", "addtocart"][row["clicked"]],
         "itemid": row["item_id"], "transactionid": ""}
        for row in rows()
    ]  # fmt: skip
    as_csv(folder / "events.csv", events)
    known = [
        {"timestamp": since, "itemid": item, "property": name, "value": value}
        for item in range(25)
        for since, name, value in (
            (AT * 1000 - 1, "categoryid", item % 4), (PROPERTIES_AT, "categoryid", 4 + item % 4),
            (AT * 1000 - 1, "790", f"n{item}.000"), (AT * 1000 - 1, str(1000 + item), "rare"),
        )
    ]  # fmt: skip
    as_csv(folder / "item_properties.csv", known[::-1])


def _trivago(folder: Path) -> None:
    """Steps of a session, of which some list what was shown and name what of it was clicked."""
    table = []
    for n, row in enumerate(rows()):
        shown = [str(100 + (row["item_id"] + 3 * k) % 25) for k in range(5)]
        out = n % 2 == 0
        table.append({
            "user_id": row["user_id"], "timestamp": row["ts"], "action_type": "clickout item" if out else "search for poi",
            "reference": shown[n // 2 % 5] if out else "Ulm", "impressions": "|".join(shown) if out else "",
        })  # fmt: skip
    as_csv(folder / "train.csv", table)


def _otto(folder: Path) -> None:
    """A session a line, its events in a list."""
    table = rows()
    sessions = [
        {"session": n, "events": [{"aid": row["item_id"], "ts": row["ts"] * 1000, "type": ["clicks", "carts"][row["clicked"]]}
                                  for row in table[4 * n : 4 * n + 4]]}
        for n in range(100)
    ]  # fmt: skip
    _lines("otto.jsonl", [json.dumps(one) for one in sessions], folder)


def _instacart(folder: Path) -> None:
    """Orders and products, both numbered from 1 on, and what of which was ordered."""
    as_csv(folder / "orders.csv", [{"order_id": n + 1, "user_id": n % 40, "order_dow": n % 7} for n in range(100)])
    parts = [{"order_id": n // 4 + 1, "product_id": row["item_id"] + 1, "reordered": row["clicked"]}
             for n, row in enumerate(rows())]  # fmt: skip
    as_csv(folder / "order_products.csv", parts)
    as_csv(folder / "products.csv", [{"product_id": n + 1, "aisle_id": n % 12 + 1} for n in range(25)])
    as_csv(folder / "aisles.csv", [{"aisle_id": n + 1, "aisle": f"aisle of {n}"} for n in range(12)])


def _diginetica(folder: Path) -> None:
    """Semicolons between cells, and commas within them on every line but that of the names."""
    _of(
        "views.csv",
        lambda n, r: f"{r['user_id']};{r['item_id']};{r['ts']};{r['clicked']}",
        "userId;itemId;time;clicked",
    )(folder)
    products = [f"{n};{n % 9};{n % 5},{n % 7},{n % 3},{n % 4}" for n in range(25)]
    _lines("products.csv", ["itemId;pricelog2;product.name.tokens", *products], folder)


def _stars(least: int) -> Callable[[int, dict[str, Any]], int]:
    """Ratings of 1 to 5, every eighth of them missing, which is written as `least`."""
    return lambda n, row: least if n % 8 == 0 else [1, 2, 3][n % 3] + 2 * row["clicked"]


def _anime(folder: Path) -> None:
    """Ratings of 1 to 10, -1 where a person watched and rated not; things with the mean of their ratings."""
    of = _stars(-1)
    as_csv(folder / "rating.csv", [{"user_id": r["user_id"], "anime_id": r["item_id"], "rating": of(n, r) * (1 if n % 8 == 0 else 2)}
                                   for n, r in enumerate(rows())])  # fmt: skip
    as_csv(folder / "anime.csv", [{"anime_id": n, "type": "TM"[n % 2], "rating": 5 + n / 10} for n in range(25)])


def _kkbox(folder: Path) -> None:
    """Members with the day on which they leave, which is no moment of what they heard."""
    as_csv(
        folder / "train.csv",
        [{"msno": f"m{r['user_id']}=", "song_id": r["item_id"], "target": r["clicked"]} for r in rows()],
    )
    members = [{"msno": f"m{n}=", "city": n % 7, "expiration_date": f"2017{n % 12 + 1:02d}11"} for n in range(40)]
    as_csv(folder / "members.csv", members)


def _dressipi(folder: Path) -> None:
    """Things of whom each has some features, by number."""
    as_csv(folder / "sessions.csv", [{"session_id": r["user_id"], "item_id": r["item_id"], "date": r["ts"], "bought": r["clicked"]}
                                     for r in rows()])  # fmt: skip
    as_csv(folder / "item_features.csv", [{"item_id": n, "feature_category_id": k, "feature_value_id": 100 + n % (2 + k)}
                                          for n in range(25) for k in range(3)])  # fmt: skip


def _recbole(folder: Path) -> None:
    """Names of columns that tell their type."""
    _of("ml.inter", lambda n, r: f"{r['user_id']}\t{r['item_id']}\t{_stars(1)(n, r)}.0\t{r['ts']}.0",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float")(folder)  # fmt: skip
    _lines(
        "ml.item",
        [
            "item_id:token\tmovie_title:token_seq\tclass:token_seq",
            *(f"{n}\tFilm of {n}\t{'AB'[n % 2]}" for n in range(25)),
        ],
        folder,
    )


_FEEDBACK = "user_id,video_id,time_ms,is_click,is_like,long_view,play_time_ms,duration_ms,tab,tag"
_WATCHED = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio"

PUBLIC: Mapping[str, tuple[Callable[[Path], None], Found, tuple[str, ...]]] = {
    "RetailRocket": (_retailrocket, Found(
        ("events.csv", "item_properties.csv"), "event = addtocart", "timestamp", "visitorid", "itemid",
        fields=("categoryid", "property_790"),
        said="it holds one property a row: 2 of 27 become columns, those that a tenth of its 'itemid' have or more",
    ), ("events.transactionid",)),
    "Trivago": (_trivago, Found(
        ("train.csv",), "impressions among reference", "timestamp", "user_id", "item_id", 1000, ("hour",),
        "one row for each thing that 'impressions' lists",
    ), ()),
    "OTTO": (_otto, Found(
        ("otto.jsonl",), "type = carts", "ts", "session", "aid", 400, ("aid",),
    ), ()),
    "Instacart": (_instacart, Found(
        ("orders.csv", "order_products.csv", "products.csv", "aisles.csv"), "reordered", None, "user_id", "product_id",
        fields=("aisle", "order_dow"),
    ), ()),
    "Diginetica": (_diginetica, Found(
        ("views.csv", "products.csv"), "clicked", "time", "userId", "itemId",
        fields=("pricelog2", "product.name.tokens"),
    ), ()),
    "KuaiRand": (_of("log.csv", lambda n, r: (
        f"{r['user_id']},{r['item_id']},{r['ts'] * 1000},{r['clicked']},{int(n % 9 == 0)},{int(n % 5 == 0)},"
        f"{n * 37 % 5000},{9000 + r['item_id']},{n % 3},\"{n % 5}{',' + str(n % 7) if n % 2 else ''}\""
    ), _FEEDBACK), Found(label="is_click", time="time_ms", item="video_id", fields=("duration_ms", "tag")),
        ("log.is_like", "log.long_view", "log.play_time_ms")),
    "KuaiRec": (_of("log.csv", lambda n, r: (
        f"{r['user_id']},{r['item_id']},{n * 37 % 5000},{9000 + r['item_id']},2020-07-{n // 20 + 1:02d} {n % 20:02d}:00:00.5,"
        f"202007{n // 20 + 1:02d}.0,{1593561600 + 3600 * n}.5,{n * 7 % 400 / 100}"
    ), _WATCHED), Found(label="watch_ratio > 1.99", time="time", item="video_id", fields=("video_duration",)),
        ("log.play_duration", "log.date", "log.timestamp")),
    "Ali-CCP": (_of("log.csv", lambda n, r: f"{r['clicked']},{int(n % 50 == 0)},{r['user_id']},{r['item_id']},{n % 7}",
                    "click,purchase,101,205,301"),
        Found(label="click", time=None, user=None, item=None, fields=("101", "205", "301")), ("log.purchase",)),
    "days of Excel": (_of("log.csv", lambda n, r: (
        f"{r['user_id']},{r['item_id']},{_DAY_2024 + n / 4},{r['clicked']}"
    ), "user_id,item_id,date,clicked"), Found(time="date", fields=("hour", "weekday")), ()),
    "Tmall": (_of("log.csv", lambda n, r: f"{r['user_id']},{r['item_id']},{5 + n // 80}{n % 28 + 1:02d},{n % 4}",
                  "user_id,item_id,time_stamp,action_type"),
        Found(label="every row, against drawn ones", time="time_stamp", rows=0, fields=("weekday",),
              said="'action_type' holds codes of kinds of events"), ()),
    "Yahoo R3": (_of("train.txt", lambda n, r: f"{r['user_id']}\t{r['item_id']}\t{_stars(1)(n, r)}"),
        Found(("train.txt",), "column_3 > 3, without 3", None, rows=0, fields=("item_id",)), ()),
    "Goodreads": (_of("log.csv", lambda n, r: f"{r['user_id']},{r['item_id']},{_stars(0)(n, r)}", "user_id,book_id,rating"),
        Found(label="rating > 3, without 0, 3", time=None, item="book_id", rows=0, fields=("book_id",)), ()),
    "Anime": (_anime, Found(
        ("rating.csv", "anime.csv"), "rating > 4, without -1", None, item="anime_id", rows=350, fields=("type",),
        said="'rating' of 'anime' may count the very ratings that are to be foretold, later ones too",
    ), ()),
    "Jester": (_of("ratings.dat", lambda n, r: f"{r['user_id']}\t\t{r['item_id']}\t\t{(n * 37 % 399 - 199) / 20:.3f}"),
        Found(("ratings.dat",), "column_5 > 0", None, fields=("item_id",)), ("ratings.column_2", "ratings.column_4")),
    "HetRec": (_of("rated.dat", lambda n, r: (
        f"{r['user_id']}\t{r['item_id']}\t{_stars(1)(n, r)}\t{n // 20 + 1}\t10\t2006\t{n % 20}\t30\t5"
    ), "userID\tmovieID\trating\tdate_day\tdate_month\tdate_year\tdate_hour\tdate_minute\tdate_second"),
        Found(("rated.dat",), "rating > 3, without 3", "date_year", "userID", "movieID", 0, ("hour", "weekday")), ()),
    "views and purchases": (_of(
        "log.csv", lambda n, r: f"{r['user_id']},{r['item_id']},{r['ts']},{['view', 'purchase'][r['clicked']]}",
        "user_id,item_id,created_at,event_type",
    ), Found(label="event_type = purchase", time="created_at", fields=("hour",)), ()),
    "Globo": (_of("clicks.csv", lambda n, r: (
        f"{r['user_id']},{r['item_id']},{r['ts'] * 1000},{[1, 3, 4][n % 3]},{n % 7}"
    ), "user_id,click_article_id,click_timestamp,click_deviceGroup,click_region"), Found(
        ("clicks.csv",), "every row, against drawn ones", "click_timestamp", item="click_article_id", rows=0,
        fields=("click_deviceGroup", "click_region"),
    ), ()),
    "iPinYou": (_of("log.txt", lambda n, r: (
        f"{r['clicked']}\t2013{6 + n // 300:02d}{n // 20 + 1 - 15 * (n // 300):02d}{n % 20:02d}0102{n % 1000:03d}\t{r['user_id']}\t"
        f"cr{r['item_id']}\t{10000 + n % 9},{10010 + n % 7},{10020 + n % 5}"
    ), "click\ttimestamp\tuid\tcreative\tusertag"), Found(
        ("log.txt",), "click", "timestamp", "uid", "creative", fields=("usertag", "hour"),
    ), ()),
    "RecBole": (_recbole, Found(
        ("ml.inter", "ml.item"), "rating > 3, without 3", "timestamp", rows=0, fields=("movie_title", "class"),
    ), ()),
    "KKBox": (_kkbox, Found(("train.csv", "members.csv"), "target", None, "msno", "song_id", fields=("city",)), ()),
    "Dressipi": (_dressipi, Found(
        ("sessions.csv", "item_features.csv"), "bought", "date", "session_id", fields=("feature_0", "feature_1", "feature_2"),
    ), ()),
    "BeerAdvocate": (_of("log.csv", lambda n, r: (
        f"{r['user_id']},/beer/{r['item_id']}x,{r['ts']},{_stars(1)(n, r)},{(n * 7 + r['clicked']) % 5 + 1},{n % 12}"
    ), "profileName,beer_url,time,overall,taste,abv"), Found(
        label="overall > 3, without 3", time="time", user="profileName", item="beer_url", rows=0, fields=("abv",),
    ), ("log.taste",)),
    "Foursquare": (_of("checkins.txt", lambda n, r: (
        f"{r['user_id']}\t4b{r['item_id']:022x}\t4c{r['item_id'] % 5:022x}\tPlace of {r['item_id'] % 5}\t40.7\t-74.0\t-240\t"
        f"2012-04-{n // 20 + 1:02d}T{n % 20:02d}:00:00Z"
    )), Found(("checkins.txt",), "every row, against drawn ones", "column_8", rows=0, fields=("item_id",)), ()),
}  # fmt: skip
"""Name -> what writes the files, what is to be found, and columns that are to be left out."""

UNREADABLE: Mapping[str, tuple[str, list[str], str]] = {
    "Netflix": ("combined.txt", [line for film in range(9) for line in (f"{film}:", f"{film}7,3,2005-09-06", "9,5,2005-05-13")],
                "has lines such as '0:' between its rows, .*: write it into each row"),
    "SNAP": ("beer.txt", [line for n in range(9) for line in (f"beer/beerId: {n}", "review/overall: 4", "")],
             "has a line for each value, such as 'beer/beerId: 0', and records apart by empty lines"),
    "a matrix with names": (
        "jokes.csv", [",".join(["JokeId", *(f"User{n}" for n in range(30))])]
        + [",".join([str(row), *(f"{(row * n * 7 % 199 - 99) / 10}" for n in range(30))]) for row in range(60)],
        r"looks like a matrix of persons and things \(User0, User1, User2 and so on, 30 columns\)",
    ),
    "a matrix without names": (
        "jokes.csv", [",".join(f"{(row * (n + 1) * 7 % 199 - 99) / 10}" for n in range(30)) for row in range(60)],
        r"looks like a matrix of persons and things \(column_1, column_2, column_3 and so on, 29 columns\)",
    ),
}  # fmt: skip
"""Name -> the file, its lines, and the sentence that refuses it."""
