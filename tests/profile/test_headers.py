"""Who acted, or when, may stand in a table that the events join: the two are one table then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from llactr.datasets import write_offline_tables
from llactr.profile import Drafted, StartOptions, start_spec
from llactr.spec import load_spec
from llactr.workspace import Workspace
from tests.profile.unusual import AT, Row, as_csv, rows


def _orders(folder: Path) -> list[str]:
    """Things of orders; each order's customer, whose town a third table has."""
    ordered = [{"order_id": n // 4, "product_id": f"p{row['item_id']}", "reordered": row["clicked"]}
               for n, row in enumerate(rows())]  # fmt: skip
    as_csv(folder / "order_products.csv", ordered)
    as_csv(folder / "orders.csv", [{"order_id": f"{n:04d}", "customer_id": n % 30, "dow": n % 7} for n in range(100)])
    as_csv(folder / "customers.csv", [{"customer_id": n, "town": ["Ulm", "Graz", "Bern"][n % 3]} for n in range(30)])
    return ["order_products.csv", "orders.csv", "customers.csv"]


def _views(folder: Path) -> list[str]:
    """What was shown in a view; the view's visitor and moment."""
    shown: list[Row] = []
    for n, row in enumerate(rows()):
        shown.append({"display_id": n // 4, "ad_id": row["item_id"], "clicked": row["clicked"]})
    as_csv(folder / "clicks_train.csv", shown)
    views = [{"display_id": n, "uuid": f"v{n % 37}", "timestamp": AT + 3600 * n, "ad_id": n % 3} for n in range(100)]
    as_csv(folder / "views.csv", views)
    return ["clicks_train.csv", "views.csv"]


def _drafted(write: Callable[[Path], list[str]], folder: Path) -> Drafted:
    files = write(folder)
    found = start_spec([str(folder / file) for file in files], StartOptions(out=folder / "spec.yaml"))
    spec = load_spec(folder / "spec.yaml")
    summary = write_offline_tables(spec, Workspace.at(folder / "workspace"), folder)
    assert summary.rows == found.rows == 400
    return found


def test_the_customer_of_an_order_is_the_person(tmp_path: Path) -> None:
    found = _drafted(_orders, tmp_path)
    assert (found.label, found.user, found.item, found.time) == ("reordered", "customer_id", "product_id", None)
    assert (found.owners["town"], found.owners["dow"]) == ("user", "context")
    written = pq.read_table(tmp_path / "spec-tables" / "order_products.parquet")
    expected = [n // 4 % 30 for n in range(400)]  # '0007' and 7 are one order
    assert [int(key) for key in written.column("customer_id").to_pylist()] == expected


def test_the_moment_of_a_view_is_that_of_what_it_showed(tmp_path: Path) -> None:
    found = _drafted(_views, tmp_path)
    assert (found.user, found.item, found.time) == ("uuid", "ad_id", "timestamp")
    path = tmp_path / "spec-tables" / "clicks_train.parquet"
    moments = duckdb.execute(f"SELECT epoch(timestamp) FROM '{path}'").fetchall()
    assert [moment for (moment,) in moments] == [AT + 3600 * (n // 4) for n in range(400)]
    assert "views_ad_id" in found.kinds, "a column that both tables have keeps the other's name in front"


def test_a_person_of_its_own_is_no_reason_to_join(tmp_path: Path) -> None:
    """An order's shop joins as it always did; the events have a person."""
    table = [{**row, "shop_id": f"s{row['item_id'] % 12}"} for row in rows()]
    as_csv(tmp_path / "log.csv", table)
    as_csv(
        tmp_path / "shops.csv", [{"shop_id": f"s{n}", "town": "ab"[n % 2], "reader": f"r{n % 3}"} for n in range(12)]
    )
    files = [str(tmp_path / name) for name in ("log.csv", "shops.csv")]
    found = start_spec(files, StartOptions(out=tmp_path / "spec.yaml"))
    assert found.user == "user_id"
    assert found.owners["town"] == "context"


def test_a_person_that_is_named_is_looked_for_there(tmp_path: Path) -> None:
    files = _orders(tmp_path)[:2]
    found = start_spec(
        [str(tmp_path / file) for file in files],
        StartOptions(out=tmp_path / "spec.yaml", user="dow", item="product_id"),
    )
    assert found.user == "dow"


@pytest.mark.parametrize("name", ["users", "items"])
def test_events_in_a_file_called_users_are_drafted(name: str, tmp_path: Path) -> None:
    """The table that is made of a person's columns has a name of its own then."""
    table = [{**row, "colour": "rgb"[row["item_id"] % 3], "town": "ab"[row["user_id"] % 2]} for row in rows()]
    as_csv(tmp_path / f"{name}.csv", table)
    found = start_spec([str(tmp_path / f"{name}.csv")], StartOptions(out=tmp_path / "spec.yaml"))
    assert (found.owners["colour"], found.owners["town"]) == ("item", "user")
    assert load_spec(tmp_path / "spec.yaml").events == name
