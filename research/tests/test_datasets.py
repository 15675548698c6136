"""The hand-written specs, and the reading of raw files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from research.datasets.tables import names, prepared, spec_of

LEAKS = {"helpful", "retail_disc", "coupon_disc", "sales_value", "read_time", "next_read_time", "ctr", "winner", "clicks"}


@pytest.mark.parametrize("name", names())
def test_every_spec_is_valid_and_reads_no_column_that_tells_the_outcome(name: str) -> None:
    spec = spec_of(name)
    assert spec.name == name
    assert not {field.column for field in spec.fields} & LEAKS


def test_films_lose_the_year_and_keys_keep_their_zeros(tmp_path: Path) -> None:
    raw = tmp_path / "movietweetings-100k"
    raw.mkdir()
    (raw / "ratings.dat").write_text("1::0002844::7::1365029107\n2::0004936::8::1366576639\n")
    (raw / "movies.dat").write_text("0002844::Fantômas: part 1 (1913)::Crime|Drama\n0004936::No year::\n")
    folder = prepared("movietweetings-100k", tmp_path, tmp_path / "cache")
    films = pd.read_parquet(folder / "items.parquet").set_index("item_id")
    assert films.loc["0002844"].tolist() == ["Fantômas: part 1", "Crime|Drama", "1913"]
    assert films.loc["0004936", "title"] == "No year"
    assert pd.read_parquet(folder / "events.parquet")["rating"].tolist() == [7, 8]


def test_a_second_review_of_a_game_is_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "steam-au-reviews"
    raw.mkdir()
    days = ["2014-01-02", "2014-01-03", None]
    pd.DataFrame({"user_id": ["a"] * 3, "item_id": [7, 7, 8], "posted": days, "recommend": [True, False, True]}).to_parquet(
        raw / "reviews.parquet"
    )
    with gzip.open(raw / "steam_games.json.gz", "wt") as file:
        file.write("{}\n" + json.dumps({"id": "7", "title": "G", "tags": ["x", "y"], "price": "Free To Play"}) + "\n")
    folder = prepared("steam-au-reviews", tmp_path, tmp_path / "cache")
    assert pd.read_parquet(folder / "events.parquet")["recommend"].tolist() == [True]
    game = pd.read_parquet(folder / "items.parquet").iloc[0]
    assert (game["item_id"], game["title"], game["tags"], game["price"]) == (7, "G", "x|y", 0.0)
