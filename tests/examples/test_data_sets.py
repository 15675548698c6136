"""The examples' tables and specs agree, and are what their scripts make of the published files."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets import write_offline_tables
from llactr.spec import load_spec
from llactr.workspace import Workspace

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "query", "users"),
    [
        ("movietweetings", "SELECT count(*), avg((rating >= 8)::int) FROM '{}/ratings.parquet'", 150),
        ("completejourney", "SELECT count(*), avg((retail_disc > 0)::int) FROM '{}/purchases/*.parquet'", 100),
    ],
)
def test_the_example_is_ingested_as_its_tables_say(name: str, query: str, users: int, tmp_path: Path) -> None:
    folder = EXAMPLES / name
    spec = load_spec(folder / f"{name}.yaml")
    found = write_offline_tables(spec, Workspace.at(tmp_path / "workspace"), folder)
    row = duckdb.sql(query.format(folder)).fetchone()
    assert row is not None
    assert (found.rows, found.positives) == (row[0], pytest.approx(row[1]))
    assert found.users == users
    assert found.rows > 6_000
    assert "item" not in found.unmatched_keys


def _made(name: str, raw: Path, out: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / name / "tables.py", raw, out], check=True, capture_output=True)


def test_tables_of_a_snapshot_of_movietweetings(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    (raw / "ratings.dat").write_text("2::0004936::8::1366576639\n1::0002844::7::1365029107\n")
    (raw / "movies.dat").write_text("0002844::Fantômas: part 1 (1913)::Crime|Drama\n0004936::The Bank (1915)::\n")
    _made("movietweetings", raw, out)
    assert pq.read_table(out / "ratings.parquet").to_pylist() == [
        {"user_id": 1, "film_id": 2844, "rating": 7, "timestamp": 1365029107},
        {"user_id": 2, "film_id": 4936, "rating": 8, "timestamp": 1366576639},
    ]
    assert pq.read_table(out / "films.parquet")["title"].to_pylist() == ["Fantômas: part 1 (1913)", "The Bank (1915)"]


def test_tables_of_complete_journey(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    bought = {
        "household_id": ["7", "7"], "product_id": ["30", "20"], "store_id": ["1", "2"], "quantity": [1.0, 2.0],
        "retail_disc": [0.5, 0.0], "transaction_timestamp": [datetime(2017, 3, 2), datetime(2017, 3, 1)],
        "coupon_disc": [0.0, 0.0],
    }  # fmt: skip
    pq.write_table(pa.table(bought), raw / "transactions_sample.parquet")
    products = {"product_id": ["30", "20", "10"], "manufacturer_id": ["1"] * 3, "product_type": ["a", "b", "c"]}
    pq.write_table(pa.table(products), raw / "products.parquet")
    people = {"household_id": ["7", "8"], "age": pa.array(["25-34", "65+"]).dictionary_encode()}
    pq.write_table(pa.table(people), raw / "demographics.parquet")
    _made("completejourney", raw, out)
    made = pq.read_table(out / "purchases").to_pylist()
    assert [(row["product_id"], row["quantity"], row["retail_disc"]) for row in made] == [(20, 2, 0.0), (30, 1, 0.5)]
    assert "coupon_disc" not in made[0]
    assert pq.read_table(out / "products.parquet").to_pylist() == [
        {"product_id": 20, "product_type": "b"},
        {"product_id": 30, "product_type": "a"},
    ]
    assert pq.read_table(out / "households.parquet").to_pylist() == [{"household_id": 7, "age": "25-34"}]
