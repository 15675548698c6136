"""Makes the tables that `completejourney.yaml` reads, from the published ones or of some households alone.

    python examples/completejourney/tables.py RAW OUT                  # all that RAW holds
    python examples/completejourney/tables.py RAW OUT --households 100 # what lies beside this file

RAW holds the CRAN package's tables as Parquet: in R, with the packages completejourney and arrow,

    library(completejourney)
    arrow::write_parquet(transactions_sample, "transactions_sample.parquet")  # get_transactions() has all 1.5 million
    arrow::write_parquet(products, "products.parquet")
    arrow::write_parquet(demographics, "demographics.parquet")
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PURCHASES = ["household_id", "product_id", "store_id", "quantity", "retail_disc", "transaction_timestamp"]
PART_ROWS = 4_000


def some(purchases: pa.Table, households: int) -> pa.Table:
    """The purchases of some households with at least 40 of them, drawn by seed 0."""
    counts = purchases.group_by("household_id").aggregate([("quantity", "count")]).sort_by("household_id")
    active = counts.filter(pc.field("quantity_count") >= 40)["household_id"].to_pylist()
    drawn = np.random.default_rng(0).choice(active, households, replace=False)
    return purchases.filter(pc.is_in(purchases["household_id"], pa.array(drawn.tolist())))


def among(table: pa.Table, key: str, purchases: pa.Table) -> pa.Table:
    """The rows whose key was bought, or bought something."""
    return table.filter(pc.is_in(table[key], pc.unique(purchases[key]))).sort_by(key)


def write(table: pa.Table, path: Path) -> None:
    """Small files: keys are numbers, and a category is written once."""
    columns = {
        name: pc.cast(column, pa.string()) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    for name in {"household_id", "product_id", "store_id", "manufacturer_id", "quantity"} & columns.keys():
        columns[name] = pc.cast(pc.cast(columns[name], pa.float64()), pa.int32())
    pq.write_table(pa.table(columns), path, compression="zstd", compression_level=19, store_schema=False)
    print(f"{path.name}: {len(table):,} rows")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--households", type=int)
    options = parser.parse_args()
    purchases = pq.read_table(options.raw / "transactions_sample.parquet", columns=PURCHASES)
    if options.households:
        purchases = some(purchases, options.households)
    purchases = purchases.sort_by("transaction_timestamp")
    (options.out / "purchases").mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(purchases), PART_ROWS)):
        write(purchases.slice(start, PART_ROWS), options.out / "purchases" / f"{number:03d}.parquet")
    products = pq.read_table(options.raw / "products.parquet").drop_columns(["manufacturer_id"])
    write(among(products, "product_id", purchases), options.out / "products.parquet")
    people = pq.read_table(options.raw / "demographics.parquet")
    write(among(people, "household_id", purchases), options.out / "households.parquet")


if __name__ == "__main__":
    main()
