"""MovieLens-100K's files, as GroupLens publishes them and as recbole carries them, read into the same three tables.

The tables and their columns:

```
ratings   user_id, item_id, rating, timestamp (seconds since 1970, UTC), in the order of the file
users     user_id, age, gender, occupation, zip_code
items     item_id, movie_title, release_year, genres (separated by spaces)
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from llactr.errors import DataError

__all__ = [
    "GROUPLENS_FILES",
    "RECBOLE_FILES",
    "TABLES",
    "Opener",
    "arrow_tables",
    "delimited_lines",
    "folder_opener",
    "read_grouplens",
    "read_recbole",
    "title_and_year",
    "whole_number",
]

TABLES = ("ratings", "users", "items")
GROUPLENS_FILES = ("u.data", "u.user", "u.item")
RECBOLE_FILES = ("ml-100k.inter", "ml-100k.user", "ml-100k.item")
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

_RATINGS = pa.schema({name: pa.int64() for name in ("user_id", "item_id", "rating", "timestamp")})
USERS = pa.schema(
    {
        "user_id": pa.int64(),
        "age": pa.int64(),
        "gender": pa.string(),
        "occupation": pa.string(),
        "zip_code": pa.string(),
    }
)
_ITEMS = pa.schema(
    {"item_id": pa.int64(), "movie_title": pa.string(), "release_year": pa.int64(), "genres": pa.string()}
)
_YEAR = re.compile(r"\s*\((\d{4})\)")


class Opener(Protocol):
    """Opens one of the files by its name: in a folder, or in a zip."""

    def __call__(self, name: str, /) -> IO[bytes]:
        """The file's bytes."""


def read_grouplens(opened: Opener) -> dict[str, pa.Table]:
    """The tables out of `u.data`, `u.user` and `u.item` (latin-1, separated by tabs and bars).

    Raises:
        DataError: a line is not in the published format.
    """
    ratings = [list(map(whole_number, parts)) for parts in delimited_lines(opened, "u.data", "\t", 4, "latin-1")]
    users = [
        [whole_number(p[0]), whole_number(p[1]), *p[2:5]] for p in delimited_lines(opened, "u.user", "|", 5, "latin-1")
    ]
    items = []
    for parts in delimited_lines(opened, "u.item", "|", 5 + len(GENRES), "latin-1"):
        title, year = title_and_year(parts[1], "")
        genres = " ".join(genre for genre, flag in zip(GENRES, parts[5:], strict=True) if flag == "1")
        items.append([whole_number(parts[0]), title, year, genres])
    return arrow_tables(ratings, users, items)


def read_recbole(opened: Opener) -> dict[str, pa.Table]:
    """The tables out of `ml-100k.inter`, `.user` and `.item` (UTF-8, separated by tabs, the first line is a header).

    Raises:
        DataError: a line is not in recbole's format.
    """
    files = {
        name: list(delimited_lines(opened, name, "\t", count, "utf-8"))[1:]
        for name, count in zip(RECBOLE_FILES, (4, 5, 4), strict=True)
    }
    ratings = [list(map(whole_number, parts)) for parts in files["ml-100k.inter"]]
    users = [[whole_number(p[0]), whole_number(p[1]), *p[2:5]] for p in files["ml-100k.user"]]
    items = [[whole_number(p[0]), *title_and_year(p[1], p[2]), p[3]] for p in files["ml-100k.item"]]
    return arrow_tables(ratings, users, items)


def title_and_year(title: str, year: str) -> tuple[str, int | None]:
    """The title without its year, and the year or None.

    GroupLens writes `Toy Story (1995)`, recbole `Toy Story` and `1995`. recbole takes what the last pair of brackets
    holds for the year, so that of `... (1995) (V)` it leaves `... (1995)` and `V`; and it misspells `unknown`.
    """
    if re.fullmatch(r"\d{4}", year):
        return title.strip(), int(year)
    found = list(_YEAR.finditer(title))
    if found:
        last = found[-1]
        return title[: last.start()].strip(), int(last[1])
    return title.strip().replace("unkonwn", "unknown"), None


def delimited_lines(
    opened: Opener, name: str, separator: str, count: int, encoding: str, *, dataset: str = "MovieLens-100K"
) -> Iterator[list[str]]:
    """The parts of a file's lines; empty lines are left out.

    Raises:
        DataError: the file is not text of that encoding, or a line has another number of parts.
    """
    with opened(name) as file:
        content = file.read()
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not {encoding} text ({error}): get the file again") from None
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if not line:
            continue
        parts = line.split(separator)
        if len(parts) != count:
            raise DataError(
                f"{name} line {number} has {len(parts)} columns, expected {count}: this is not {dataset}'s format"
            )
        yield parts


def whole_number(text: str, *, dataset: str = "MovieLens-100K") -> int:
    """The text as a number; DataError names the dataset whose file is not right."""
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{text!r} stands where {dataset} has a whole number: get the file again") from None


def arrow_tables(
    ratings: list[list[Any]],
    users: list[list[Any]],
    items: list[list[Any]],
    *,
    users_schema: pa.Schema = USERS,
    dataset: str = "MovieLens-100K",
) -> dict[str, pa.Table]:
    """The rows as the three tables; DataError when one of them is empty."""
    rows = {"ratings": (ratings, _RATINGS), "users": (users, users_schema), "items": (items, _ITEMS)}
    tables = {}
    for name, (lines, schema) in rows.items():
        if not lines:
            raise DataError(f"the {name} of {dataset} are empty: get the files again")
        columns = list(zip(*lines, strict=True))
        tables[name] = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
    return tables


def folder_opener(folder: Path) -> Opener:
    """Opens files of a folder."""
    return lambda name: (folder / name).open("rb")
