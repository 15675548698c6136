"""Turns the raw files of seven public data sets into the tables that the specs beside this file read.

    python -m research.datasets.tables [NAME ...] --data FOLDER --cache DIR

FOLDER holds one folder a set with the files as they were published; DIR/NAME gets `events.parquet` and, where there
are any, `users.parquet` and `items.parquet`. Columns that no spec reads stay where they were in the raw files. What a
set's terms allow is up to the user; nothing of it is in this repository. Credits:

- ml-1m-sample100k, ml-latest-small: MovieLens by GroupLens Research (Harper and Konstan 2015,
  https://doi.org/10.1145/2827872); abstracts from DBpedia (CC BY-SA) are not read.
- movietweetings-100k: MovieTweetings by Simon Dooms (MIT).
- completejourney: The Complete Journey by 84.51 degrees, as the CRAN package completejourney has it (CC0).
- steam-au-reviews: the McAuley lab, UCSD (Kang and McAuley 2018; Pathak et al. 2017; Wan and McAuley 2018).
- ebnerd-demo: EB-NeRD by Ekstra Bladet and JP/Politikens Hus.
- upworthy: The Upworthy Research Archive (Matias et al. 2021, CC BY 4.0).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from llactr.atomic import writing_file
from llactr.spec import DatasetSpec, load_spec

SPECS = Path(__file__).parent / "specs"
MULTI = "|"
_DRAWN_CLICKS, _DRAWN_OTHERS = 1 / 60, 1 / 1000
"""Of Upworthy's 1.2 million clicks and 80 million other impressions: 100,000 rows, a fifth of them clicks."""

Tables = dict[str, pd.DataFrame]


def names() -> tuple[str, ...]:
    """The data sets, those with the fewest rows to train on first."""
    order = ("steam-au-reviews", "ml-1m-sample100k", "completejourney", "upworthy", "movietweetings-100k")
    return (*order, "ml-latest-small", "ebnerd-demo")


def spec_of(name: str) -> DatasetSpec:
    """The spec of a data set."""
    return load_spec(SPECS / f"{name}.yaml")


def prepared(name: str, data: Path, cache: Path) -> Path:
    """The folder with a data set's tables, made on the first call."""
    folder = cache / name
    if not (folder / "events.parquet").exists():
        source = data / name
        if not source.is_dir():
            raise SystemExit(f"{name} is read from {source}, which is not there: put its raw files into that folder")
        folder.mkdir(parents=True, exist_ok=True)
        tables = _READERS[name](source)
        for table in sorted(tables, reverse=True):  # events last: they say that all is there
            with writing_file(folder / f"{table}.parquet") as draft:
                tables[table].to_parquet(draft, index=False)
    return folder


def _dat(path: Path, columns: list[str], encoding: str = "utf-8") -> pd.DataFrame:
    """A file of MovieLens' kind: cells between double colons, titles that hold single ones."""
    lines = path.read_text(encoding=encoding).splitlines()
    return pd.DataFrame([line.split("::") for line in lines], columns=columns)


def _films(films: pd.DataFrame) -> pd.DataFrame:
    """The year leaves the title for a column of its own."""
    found = films["title"].str.extract(r"^(.*)\((\d{4})\)\s*$")
    title = found[0].str.strip().where(found[1].notna(), films["title"])
    return films.assign(title=title, release_year=found[1])


def _ml_1m_sample(folder: Path) -> Tables:
    events = _dat(folder / "ratings_sample100k.dat", ["user_id", "item_id", "rating", "timestamp"])
    users = pd.DataFrame(map(json.loads, (folder / "users.json").read_text().splitlines()))
    users = users.rename(columns={"userID": "user_id", "zipcode": "zip_code"})
    jobs = {str(code): job for code, job in enumerate(_OCCUPATIONS)}
    users["occupation"], users["age"] = users["occupation"].map(jobs), users["age"].map(_AGES)
    films = _films(_dat(folder / "movies.dat", ["item_id", "title", "genres"], "latin-1"))
    return {"events": _whole(events), "users": users.astype(str), "items": films}


_OCCUPATIONS = (
    "other", "academic or educator", "artist", "clerical or admin", "college or grad student", "customer service",
    "doctor or health care", "executive or managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales or marketing", "scientist", "self-employed", "technician or engineer", "tradesman or craftsman",
    "unemployed", "writer",
)  # fmt: skip
_AGES = {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56 and over"}


def _whole(events: pd.DataFrame) -> pd.DataFrame:
    """Ratings and seconds as numbers; keys stay text, as an IMDb number begins with zeros."""
    return events.astype({"rating": "int64", "timestamp": "int64"})


def _latest_small(folder: Path) -> Tables:
    films = pd.read_csv(folder / "movies.csv").rename(columns={"movieId": "item_id"})
    films["genres"] = films["genres"].replace("(no genres listed)", None)
    events = pd.read_csv(folder / "ratings.csv").rename(columns={"userId": "user_id", "movieId": "item_id"})
    return {"events": events, "items": _films(films)}


def _movietweetings(folder: Path) -> Tables:
    films = _films(_dat(folder / "movies.dat", ["item_id", "title", "genres"]))
    return {"events": _whole(_dat(folder / "ratings.dat", ["user_id", "item_id", "rating", "timestamp"])), "items": films}


def _steam(folder: Path) -> Tables:
    events = pd.read_parquet(folder / "reviews.parquet").dropna(subset=["posted"])
    events = events.drop_duplicates(["user_id", "item_id"]).assign(posted=lambda rows: pd.to_datetime(rows["posted"]))
    games = []
    with gzip.open(folder / "steam_games.json.gz", "rt", encoding="utf-8") as file:
        for game in map(json.loads, file):
            if isinstance(game.get("id"), str):
                lists = {key: MULTI.join(game[key]) if isinstance(game.get(key), list) else None for key in _LISTS}
                texts = {key: game[key] if isinstance(game.get(key), str) else None for key in _TEXTS}
                title = texts.pop("title") or texts.pop("app_name")
                year = re.search(r"\d{4}", texts.pop("release_date") or "")
                games.append({
                    "item_id": int(game["id"]), "title": title, **lists, **texts, "price": _price(game.get("price")),
                    "release_year": year.group() if year else None, "early_access": game.get("early_access"),
                })  # fmt: skip
    table = pd.DataFrame(games).drop(columns=["app_name"], errors="ignore").drop_duplicates("item_id")
    return {"events": events, "items": table[table["item_id"].isin(events["item_id"])]}


_LISTS = ("genres", "tags", "specs")
_TEXTS = ("title", "app_name", "developer", "publisher", "release_date")


def _price(given: object) -> float | None:
    """In dollars; what is called free costs nothing."""
    if isinstance(given, str):
        return 0.0 if "free" in given.lower() else None
    return float(given) if isinstance(given, int | float) else None


def _completejourney(folder: Path) -> Tables:
    events = pd.read_parquet(folder / "transactions_sample.parquet")
    products = pd.read_parquet(folder / "products.parquet")
    people = pd.read_parquet(folder / "demographics.parquet").astype(object)
    people = people.astype("string")  # categories of R become text
    return {"events": events, "users": people, "items": products[products["product_id"].isin(events["product_id"])]}


def _ebnerd(folder: Path) -> Tables:
    parts = [pd.read_parquet(folder / f"{part}_behaviors.parquet") for part in ("train", "validation")]
    views = pd.concat(parts, ignore_index=True).rename(columns={"article_id": "page_id"})
    views["shown"] = views["article_ids_inview"].map(len)
    views["clicked_ids"] = views["article_ids_clicked"].map(lambda some: set(map(int, some)))
    rows = views.drop(columns=["article_ids_clicked"]).explode("article_ids_inview", ignore_index=True)
    rows = rows.rename(columns={"article_ids_inview": "article_id"}).astype({"article_id": "int64"})
    clicked = [item in chosen for item, chosen in zip(rows["article_id"], rows["clicked_ids"], strict=True)]
    rows = rows.drop(columns=["clicked_ids"]).assign(clicked=clicked)
    for column in ("page_id", "gender", "postcode", "age"):
        rows[column] = rows[column].astype("Int64")
    return {"events": rows}


def _upworthy(folder: Path) -> Tables:
    packages = pd.read_parquet(folder / "upworthy_clean.parquet")
    parts = packages[["clickability_test_id", "headline", "eyecatcher_id", "excerpt", "lede"]].fillna("").agg("\n".join, axis=1)
    packages["package_id"] = [hashlib.sha256(part.encode()).hexdigest()[:12] for part in parts]
    packages["created_at"] = packages["clickability_test_id"].str[:8].map(lambda digits: int(digits, 16))
    for column in ("headline", "excerpt", "lede"):
        packages[column] = packages[column].map(_plain, na_action="ignore")
    draw = np.random.default_rng(0)
    clicks = draw.binomial(packages["clicks"], _DRAWN_CLICKS)
    others = draw.binomial(packages["impressions"] - packages["clicks"], _DRAWN_OTHERS)
    keys = packages[["package_id", "clickability_test_id", "created_at"]]
    found = [keys.loc[keys.index.repeat(times)].assign(clicked=label) for label, times in ((1, clicks), (0, others))]
    rows = pd.concat(found, ignore_index=True).sample(frac=1, random_state=0).sort_values("created_at", kind="stable")
    columns = ["package_id", "eyecatcher_id", "headline", "excerpt", "lede"]
    return {"events": rows, "items": packages[columns].drop_duplicates("package_id")}


def _plain(text: str) -> str:
    """Without HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


_READERS: dict[str, Callable[[Path], Tables]] = {
    "steam-au-reviews": _steam,
    "ml-1m-sample100k": _ml_1m_sample,
    "completejourney": _completejourney,
    "upworthy": _upworthy,
    "movietweetings-100k": _movietweetings,
    "ml-latest-small": _latest_small,
    "ebnerd-demo": _ebnerd,
}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names())}; all without one")
    parser.add_argument("--data", type=Path, required=True, help="one folder a set, with its raw files")
    parser.add_argument("--cache", type=Path, required=True, help="gets one folder a set, with its tables")
    options = parser.parse_args()
    for name in options.names or names():
        if name not in names():
            parser.error(f"no data set {name!r}: choose one of {', '.join(names())}")
        print(prepared(name, options.data, options.cache))


if __name__ == "__main__":
    main()
