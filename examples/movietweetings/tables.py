"""Makes the tables that `movietweetings.yaml` reads, from the published files or of some people alone.

    python examples/movietweetings/tables.py RAW OUT              # the whole snapshot
    python examples/movietweetings/tables.py RAW OUT --people 170 # what lies beside this file

RAW holds `ratings.dat` and `movies.dat` of a snapshot such as
https://github.com/sidooms/MovieTweetings/tree/master/snapshots/100K.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def read(path: Path, names: list[str], whole: list[str]) -> pa.Table:
    """A file with `::` between its cells; the columns of `whole` become numbers."""
    rows = [line.split("::") for line in path.read_text(encoding="utf-8").splitlines()]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return pa.table(
        {name: pa.array(map(int, cells), pa.int32()) if name in whole else cells for name, cells in columns.items()}
    )


def some(ratings: pa.Table, people: int) -> pa.Table:
    """The ratings of some people with 25 to 150 of them, drawn by seed 0."""
    counts = ratings.group_by("user_id").aggregate([("rating", "count")]).sort_by("user_id")
    active = counts.filter((pc.field("rating_count") >= 25) & (pc.field("rating_count") <= 150))["user_id"].to_numpy()
    drawn = np.random.default_rng(0).choice(active, people, replace=False)
    return ratings.filter(pc.is_in(ratings["user_id"], pa.array(drawn)))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=int)
    options = parser.parse_args()
    ratings = read(
        options.raw / "ratings.dat",
        ["user_id", "film_id", "rating", "timestamp"],
        ["user_id", "film_id", "rating", "timestamp"],
    )
    films = read(options.raw / "movies.dat", ["film_id", "title", "genres"], ["film_id"])
    if options.people:
        ratings = some(ratings, options.people)
        films = films.filter(pc.is_in(films["film_id"], ratings["film_id"].combine_chunks()))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table, by in (("ratings", ratings, "timestamp"), ("films", films, "film_id")):
        encoding = {by: "DELTA_BINARY_PACKED"}
        pq.write_table(
            table.sort_by(by), options.out / f"{name}.parquet", compression="zstd", compression_level=19,
            use_dictionary=[other for other in table.column_names if other != by], column_encoding=encoding,
            store_schema=False,
        )  # fmt: skip
        print(f"{name}: {len(table):,} rows")


if __name__ == "__main__":
    main()
