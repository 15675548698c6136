"""Data sets for `research.history`: events in the order of time, fields, and the texts and categories of items.

MovieLens-100K is fetched as the product does it; the others are read from a folder that the user names. Credits:
MovieLens by GroupLens Research (Harper and Konstan 2015), MovieTweetings by Simon Dooms (MIT), Complete Journey by
84.51 degrees (CC0), Steam reviews by the McAuley lab, UCSD (Kang and McAuley 2018; Pathak et al. 2017).
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from llactr.datasets import fetch
from llactr.history.vectors import both, category_vectors
from llactr.semantics import EncoderConfig, load_encoder
from llactr.spec import DatasetSpec
from llactr.transforms import normalize, raw_column

DATASETS = (
    "ml-100k",
    "ml-latest-small",
    "ml-1m-sample100k",
    "movietweetings-100k",
    "steam-au-reviews",
    "completejourney",
)
MULTI = "|"


@dataclasses.dataclass(frozen=True)
class HistoryLog:
    """A data set in the order of time.

    Attributes:
        spec: fields; sources are not read.
        table: raw columns of the fields, `event_timestamp`, `label`, `user_id`, `item_id`.
        items: distinct items.
        texts: of each item.
        categories: per category field, each item's list of values.
        category_fields: their names.
    """

    name: str
    spec: DatasetSpec
    table: pa.Table
    items: tuple[str, ...]
    texts: tuple[str, ...]
    categories: tuple[tuple[tuple[str, ...], ...], ...]
    category_fields: tuple[str, ...]

    def raw_vectors(self, cache: Path) -> dict[str, NDArray[np.float32]]:
        """Source -> (I, L) vectors of the items: categories, text, both."""
        text = _encoded(self.texts, cache)
        categories = category_vectors(self.categories)
        return {"categories": categories, "text": text, "both": both({"categories": categories, "text": text})}

    @property
    def times(self) -> NDArray[np.int64]:
        """(N,) microseconds."""
        return self.table["event_timestamp"].cast(pa.int64()).to_numpy()

    @property
    def label(self) -> NDArray[np.float32]:
        """(N,) 0 or 1."""
        return self.table["label"].to_numpy().astype(np.float32)


def load_log(name: str, *, folder: Path | None, cache: Path) -> HistoryLog:
    """The data set of that name; `folder` holds one folder per set but MovieLens-100K."""
    if name == "ml-100k":
        return _movielens_100k(fetch("movielens-100k", cache=cache))
    if folder is None:
        raise SystemExit(f"{name} is read from --data FOLDER/{name}")
    return _READERS[name](folder / name)


def _movielens_100k(folder: Path) -> HistoryLog:
    users, items = (pd.read_parquet(folder / f"{part}.parquet") for part in ("users", "items"))
    events = pd.read_parquet(folder / "ratings.parquet")
    events = events[events["rating"] != 3].assign(label=lambda f: f["rating"] > 3)
    rows = events.merge(users, on="user_id").merge(items, on="item_id")
    rows["time"] = pd.to_datetime(events_seconds(rows["timestamp"]), unit="s", utc=True)
    rows["genres"] = rows["genres"].str.replace(" ", MULTI)
    fields = ["user_id", "age", "gender", "occupation", "zip_code", "item_id", "movie_title", "release_year", "genres*"]
    text = lambda r: f"{r.movie_title}, {r.release_year:g}, {r.genres.replace(MULTI, ' ')}"  # noqa: E731
    return _log("ml-100k", rows, fields, user_fields=fields[:5], text=text, categories=["genres"])


def events_seconds(column: pd.Series) -> pd.Series:
    """Seconds since 1970 of integers or timestamps."""
    return column.astype("int64") if not hasattr(column, "dt") or column.dtype.kind in "iu" else column.map(
        lambda time: int(time.timestamp())
    )


def _latest_small(folder: Path) -> HistoryLog:
    rows = pd.read_csv(folder / "ratings.csv").merge(pd.read_csv(folder / "movies.csv"), on="movieId")
    rows = rows.rename(columns={"userId": "user_id", "movieId": "item_id"})
    rows["label"], rows["time"] = rows["rating"] >= 4, pd.to_datetime(rows["timestamp"], unit="s", utc=True)
    fields = ["user_id", "item_id", "title", "genres*"]
    text = lambda r: f"{r.title}, {r.genres.replace(MULTI, ' ')}"  # noqa: E731
    return _log("ml-latest-small", rows, fields, user_fields=["user_id"], text=text, categories=["genres"])


def _ml_1m_sample(folder: Path) -> HistoryLog:
    rows = pd.read_csv(
        folder / "ratings_sample100k.dat", sep="::", engine="python", names=["user_id", "item_id", "rating", "timestamp"]
    )
    movies = pd.read_csv(
        folder / "movies.dat", sep="::", engine="python", names=["item_id", "title", "genres"], encoding="latin-1"
    )
    users = pd.DataFrame(map(json.loads, (folder / "users.json").read_text().splitlines()))
    users = users.rename(columns={"userID": "user_id", "zipcode": "zip_code"})
    rows = rows[rows["rating"] != 3].merge(movies, on="item_id").merge(users, on="user_id")
    rows["label"], rows["time"] = rows["rating"] > 3, pd.to_datetime(rows["timestamp"], unit="s", utc=True)
    abstracts = json.loads((folder / "dbpedia_abstracts.json").read_text())
    fields = ["user_id", "gender", "age", "occupation", "zip_code", "item_id", "title", "genres*"]

    def text(r: Any) -> str:
        return f"{r.title}, {r.genres.replace(MULTI, ' ')}. {abstracts.get(str(r.item_id), '')[:300]}"

    return _log("ml-1m-sample100k", rows, fields, user_fields=fields[:5], text=text, categories=["genres"])


def _movietweetings(folder: Path) -> HistoryLog:
    rows = pd.read_csv(
        folder / "ratings.dat", sep="::", engine="python", names=["user_id", "item_id", "rating", "timestamp"]
    )
    movies = pd.read_csv(folder / "movies.dat", sep="::", engine="python", names=["item_id", "title", "genres"])
    rows = rows.merge(movies.fillna(""), on="item_id")
    rows["label"], rows["time"] = rows["rating"] >= 8, pd.to_datetime(rows["timestamp"], unit="s", utc=True)
    fields = ["user_id", "item_id", "title", "genres*"]
    text = lambda r: f"{r.title}, {r.genres.replace(MULTI, ' ')}"  # noqa: E731
    return _log("movietweetings-100k", rows, fields, user_fields=["user_id"], text=text, categories=["genres"])


def _steam(folder: Path) -> HistoryLog:
    rows = pd.read_parquet(folder / "reviews.parquet").dropna(subset=["posted"])
    games = []
    with gzip.open(folder / "steam_games.json.gz", "rt", encoding="utf-8") as file:
        for line in file:
            game = json.loads(line)
            if not isinstance(game.get("id"), str):
                continue
            listed = {k: v if isinstance(v := game.get(k), list) else [] for k in ("genres", "tags", "specs")}
            plain = {k: v if isinstance(v := game.get(k), str) else "" for k in ("developer", "publisher")}
            title = next((game[k] for k in ("title", "app_name") if isinstance(game.get(k), str)), "")
            joined = {k: MULTI.join(v) for k, v in listed.items()}
            games.append({"item_id": int(game["id"]), "title": title, **plain, **joined})
    table = pd.DataFrame(games).drop_duplicates("item_id")
    rows = rows.merge(table, on="item_id", how="left").fillna("")
    rows["label"], rows["time"] = rows["recommend"], pd.to_datetime(rows["posted"], utc=True)
    fields = ["user_id", "item_id", "title", "developer", "publisher", "genres*", "tags*", "specs*"]

    def text(r: Any) -> str:
        return f"{r.title}, {r.developer}, {r.genres} {r.tags} {r.specs}".replace(MULTI, " ")[:400]

    categories = ["genres", "tags", "specs"]
    return _log("steam-au-reviews", rows, fields, user_fields=["user_id"], text=text, categories=categories)


def _completejourney(folder: Path) -> HistoryLog:
    rows = pd.read_parquet(folder / "transactions_sample.parquet")
    rows = rows.merge(pd.read_parquet(folder / "products.parquet"), on="product_id", how="left")
    people = pd.read_parquet(folder / "demographics.parquet").astype(object)
    rows = rows.merge(people, on="household_id", how="left")
    rows = rows.rename(columns={"household_id": "user_id", "product_id": "item_id"})
    rows["label"], rows["time"] = rows["retail_disc"] > 0, pd.to_datetime(rows["transaction_timestamp"], utc=True)
    mine = ["user_id", "age", "income", "household_comp"]
    its = ["item_id", "department", "product_category", "product_type", "brand", "package_size"]
    rows[mine[1:] + its[1:]] = rows[mine[1:] + its[1:]].astype(object).fillna("").astype(str)

    def text(r: Any) -> str:
        return f"{r.product_type}, {r.product_category}, {r.department}, {r.brand} brand, {r.package_size}".lower()

    return _log("completejourney", rows, [*mine, *its, "store_id"], user_fields=mine, text=text, categories=its[1:5])


_READERS = {
    "ml-latest-small": _latest_small,
    "ml-1m-sample100k": _ml_1m_sample,
    "movietweetings-100k": _movietweetings,
    "steam-au-reviews": _steam,
    "completejourney": _completejourney,
}


def _log(
    name: str, rows: pd.DataFrame, fields: Sequence[str], *, user_fields: Sequence[str], text: Any, categories: Any
) -> HistoryLog:
    """A star marks a multi-valued field. Hour and weekday are added."""
    rows = rows.sort_values("time", kind="stable").reset_index(drop=True)
    rows["user_id"], rows["item_id"] = rows["user_id"].astype(str), rows["item_id"].astype(str)
    spec_fields: list[dict[str, Any]] = []
    for field in fields:
        plain = field.rstrip("*")
        kind = {"kind": "multi_valued", "separator": MULTI} if field.endswith("*") else {"kind": "categorical"}
        owner = "user" if plain in user_fields else "context" if plain == "store_id" else "item"
        spec_fields.append({"name": plain, "description": plain.replace("_", " "), "owner": owner, **kind})
    for part in ("hour", "weekday"):
        spec_fields.append(
            {"name": part, "description": part, "owner": "context", "kind": "timestamp_part", "part": part}
        )
    source: Mapping[str, Any] = {"path": "rows.parquet", "format": "parquet"}
    spec = DatasetSpec.model_validate(
        {
            "name": name,
            "sources": {"rows": source},
            "events": "rows",
            "timestamp": {"column": "time"},
            "label": {"column": "outcome"},
            "entities": {o: {"join_key": f"{o}_id", "source": "rows"} for o in ("user", "item")},
            "fields": spec_fields,
        }
    )
    times = pa.array(rows["time"].dt.tz_convert("UTC").dt.as_unit("us"), pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {"event_timestamp": times, "label": pa.array(rows["label"].astype(np.float32))}
    for field in spec.fields:
        if raw_column(field) not in columns:
            strings = pa.array(rows[field.name].astype(str).replace({"": None, "nan": None, "None": None}), pa.string())
            columns[raw_column(field)] = normalize(pa.chunked_array([strings]), field)
    first = rows.drop_duplicates("item_id")
    lists = tuple(
        tuple(tuple(p for p in str(value).split(MULTI) if p) for value in first[column]) for column in categories
    )
    texts = tuple(text(row) for row in first.itertuples())
    return HistoryLog(name, spec, pa.table(columns), tuple(first["item_id"]), texts, lists, tuple(categories))


def _encoded(texts: Sequence[str], cache: Path) -> NDArray[np.float32]:
    """MiniLM's vectors of texts, each distinct text once; kept in the cache."""
    distinct = sorted(set(texts))
    path = cache / f"history-texts-{hashlib.sha256(json.dumps(distinct).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        vectors = load_encoder(EncoderConfig()).encode(distinct, batch_size=64)
        cache.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".draft").open("wb") as file:
            np.save(file, vectors)
        path.with_suffix(".draft").rename(path)
    vectors = np.load(path)
    places = {text: at for at, text in enumerate(distinct)}
    return vectors[[places[text] for text in texts]]
