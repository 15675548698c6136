"""MovieLens-1M's files as GroupLens publishes them, read into the tables of `movielens.files`.

`ratings.dat`, `users.dat` and `movies.dat` are latin-1, separated by `::`, without a header. Ages are codes of ranges
and occupations are numbers; both become the words that GroupLens' README gives them, so that they can be read.
"""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from llactr.datasets.recipes.movielens.files import Opener, arrow_tables, delimited_lines, title_and_year, whole_number
from llactr.errors import DataError

__all__ = ["AGES", "MOVIELENS_1M_FILES", "OCCUPATIONS", "read_movielens_1m"]

MOVIELENS_1M_FILES = ("ratings.dat", "users.dat", "movies.dat")
AGES = {
    "1": "under 18", "18": "18 to 24", "25": "25 to 34", "35": "35 to 44", "45": "45 to 49", "50": "50 to 55",
    "56": "56 or older",
}  # fmt: skip
OCCUPATIONS = (
    "other or not specified", "academic or educator", "artist", "clerical or administrative", "college student",
    "customer service", "doctor or health care", "executive or managerial", "farmer", "homemaker", "school student",
    "lawyer", "programmer", "retired", "sales or marketing", "scientist", "self-employed", "technician or engineer",
    "tradesman or craftsman", "unemployed", "writer",
)  # fmt: skip

_DATASET = "MovieLens-1M"
_USERS = pa.schema(
    {
        "user_id": pa.int64(),
        "age": pa.string(),
        "gender": pa.string(),
        "occupation": pa.string(),
        "zip_code": pa.string(),
    }
)
_OCCUPATION_OF = {str(number): words for number, words in enumerate(OCCUPATIONS)}


def read_movielens_1m(opened: Opener) -> dict[str, pa.Table]:
    """The tables out of `ratings.dat`, `users.dat` and `movies.dat`; users have an age range instead of an age.

    Raises:
        DataError: a line is not in the published format.
    """
    lines = partial(delimited_lines, opened, dataset=_DATASET)
    whole = partial(whole_number, dataset=_DATASET)
    ratings = [list(map(whole, parts)) for parts in lines("ratings.dat", "::", 4, "latin-1")]
    users = [
        [whole(user), _named(AGES, age, "age"), gender, _named(_OCCUPATION_OF, occupation, "occupation"), zip_code]
        for user, gender, age, occupation, zip_code in lines("users.dat", "::", 5, "latin-1")
    ]
    items = [
        [whole(item), *title_and_year(title, ""), genres.replace("|", " ")]
        for item, title, genres in lines("movies.dat", "::", 3, "latin-1")
    ]
    return arrow_tables(ratings, users, items, users_schema=_USERS, dataset=_DATASET)


def _named(names: dict[str, str], code: str, what: str) -> str:
    if code not in names:
        raise DataError(
            f"users.dat has the {what} code {code!r}, expected one of {', '.join(names)}: get the file again"
        )
    return names[code]
