"""Tables in the formats of public logs are drafted by their roles, leave out what came after, and ingest whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from llactr.datasets import write_offline_tables
from llactr.errors import DataError
from llactr.profile import Drafted, StartOptions, start_spec
from llactr.spec import load_spec
from llactr.workspace import Workspace
from tests.profile.public_logs import PROPERTIES_AT, PUBLIC, UNREADABLE


def _drafted(name: str, folder: Path, *, sample_rows: int = 300_000) -> Drafted:
    write, truth, _ = PUBLIC[name]
    write(folder)
    options = StartOptions(out=folder / "spec.yaml", sample_rows=sample_rows, **truth.options)
    return start_spec([str(folder / file) for file in truth.files], options)


@pytest.mark.parametrize("name", list(PUBLIC))
def test_a_public_log_is_drafted_and_ingested(name: str, tmp_path: Path) -> None:
    found = _drafted(name, tmp_path)
    _, truth, left_out = PUBLIC[name]
    assert (found.label, found.time, found.user, found.item) == (truth.label, truth.time, truth.user, truth.item)
    assert set(truth.fields) <= set(found.kinds)
    assert set(left_out) <= set(found.left_out)
    assert truth.said in "\n".join([*found.findings, *found.costs])
    summary = write_offline_tables(load_spec(tmp_path / "spec.yaml"), Workspace.at(tmp_path / "workspace"), tmp_path)
    assert summary.rows == found.rows
    if truth.rows:
        assert summary.rows == truth.rows


def test_a_scale_beside_a_stated_rating_leaks_as_beside_a_found_one(tmp_path: Path) -> None:
    write, truth, _ = PUBLIC["BeerAdvocate"]
    write(tmp_path)
    options = StartOptions(out=tmp_path / "spec.yaml", label="overall > 3")
    found = start_spec([str(tmp_path / file) for file in truth.files], options)
    assert "log.taste" in found.left_out


@pytest.mark.parametrize("name", list(UNREADABLE))
def test_what_holds_no_rows_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    file, lines, said = UNREADABLE[name]
    (tmp_path / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=said):
        start_spec([str(tmp_path / file)], StartOptions(out=tmp_path / "spec.yaml"))
    assert not (tmp_path / "spec.yaml").exists()


@pytest.mark.parametrize("sample_rows", [300_000, 20])
def test_properties_hold_from_their_moment_on(sample_rows: int, tmp_path: Path) -> None:
    """A thing has one row from the start and one from the change on, which keeps what did not change."""
    _drafted("RetailRocket", tmp_path, sample_rows=sample_rows)
    found = duckdb.execute(
        "SELECT CAST(itemid AS BIGINT), epoch_ms(timestamp), categoryid, property_790 FROM read_parquet(?) ORDER BY 1, 2",
        [str(tmp_path / "spec-tables" / "item_properties.parquet")],
    ).fetchall()
    assert len(found) == 50
    for at, (item, since, category, code) in enumerate(found):
        assert item == at // 2
        assert code == f"n{item}.000"
        assert category == str(item % 4 + 4 * (at % 2))
        assert since == (PROPERTIES_AT if at % 2 else 1_700_000_000 * 1000 - 1)


def test_properties_without_a_moment_are_all_kept(tmp_path: Path) -> None:
    write, truth, _ = PUBLIC["RetailRocket"]
    write(tmp_path)
    lines = [f"{n},genre,g{k}" for n in range(25) for k in (n % 3, n % 5)]
    (tmp_path / "item_properties.csv").write_text(
        "\n".join(["itemid,attribute,value", *lines]) + "\n", encoding="utf-8"
    )
    found = start_spec([str(tmp_path / file) for file in truth.files], StartOptions(out=tmp_path / "spec.yaml"))
    assert found.kinds["genre"] == "multi_valued"
    (row,) = duckdb.execute(
        "SELECT genre FROM read_parquet(?) WHERE itemid = '7'",
        [str(tmp_path / "spec-tables" / "item_properties.parquet")],
    ).fetchall()
    assert row == ("g1|g2",)  # 7 % 3 and 7 % 5


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 6), ("Europe/Berlin", 5)])
def test_days_of_excel_are_moments_of_the_zone(zone: str, hour: int, tmp_path: Path) -> None:
    """45292.25 is six in the morning of 1 January 2024."""
    write, _, _ = PUBLIC["days of Excel"]
    write(tmp_path)
    start_spec([str(tmp_path / "log.csv")], StartOptions(out=tmp_path / "spec.yaml", zone=zone))
    (written,) = (tmp_path / "spec-tables").glob("log.parquet")
    (second,) = duckdb.execute(
        "SELECT epoch(date) FROM read_parquet(?) ORDER BY 1 LIMIT 1 OFFSET 1", [str(written)]
    ).fetchone() or (0,)
    assert second == datetime(2024, 1, 1, hour, tzinfo=UTC).timestamp()


def test_of_clicks_carts_and_orders_clicks_are_no_label(tmp_path: Path) -> None:
    """Few carts are the label all the same: clicks are what the others are compared with."""
    assert _drafted("OTTO", tmp_path).label == "type = carts"


def test_a_moment_in_parts_is_that_moment(tmp_path: Path) -> None:
    """The 23rd row is of 2 October 2006, 02:30:05."""
    _drafted("HetRec", tmp_path)
    found = duckdb.execute(
        "SELECT DISTINCT epoch(date_year) FROM read_parquet(?) ORDER BY 1",
        [str(tmp_path / "spec-tables" / "rated.parquet")],
    ).fetchall()
    assert (datetime(2006, 10, 2, 2, 30, 5, tzinfo=UTC).timestamp(),) in found
    assert not {"date_day", "date_month", "date_hour"} & set(load_spec(tmp_path / "spec.yaml").field_names)
