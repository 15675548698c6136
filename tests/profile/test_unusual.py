"""Tables that are written unusually are drafted and ingested whole; what cannot be drafted is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llactr.datasets import write_offline_tables
from llactr.errors import DataError
from llactr.profile import StartOptions, start_spec
from llactr.spec import load_spec
from llactr.workspace import Workspace
from tests.profile.unusual import REFUSED, UNUSUAL


@pytest.mark.parametrize("name", list(UNUSUAL))
def test_an_unusual_table_is_drafted_and_ingested(name: str, tmp_path: Path) -> None:
    write, truth = UNUSUAL[name]
    write(tmp_path)
    found = start_spec([str(tmp_path / file) for file in truth.files], StartOptions(out=tmp_path / "spec.yaml"))
    assert (found.label, found.time, found.user, found.item) == (truth.label, truth.time, truth.user, truth.item)
    assert set(truth.fields) <= set(found.kinds)
    assert truth.said in "\n".join([*found.findings, *found.costs])
    summary = write_offline_tables(load_spec(tmp_path / "spec.yaml"), Workspace.at(tmp_path / "workspace"), tmp_path)
    assert summary.rows == found.rows
    if truth.rows:
        assert summary.rows == truth.rows


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_drafted_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    file, write, said = REFUSED[name]
    write(tmp_path)
    with pytest.raises(DataError, match=said):
        start_spec([str(tmp_path / file)], StartOptions(out=tmp_path / "spec.yaml"))
    assert not (tmp_path / "spec.yaml").exists()


def test_a_moment_with_fractions_is_the_moment(tmp_path: Path) -> None:
    UNUSUAL["seconds with fractions"][0](tmp_path)
    start_spec([str(tmp_path / "log.parquet")], StartOptions(out=tmp_path / "spec.yaml"))
    first = pq.read_table(tmp_path / "spec-tables" / "log.parquet").column("ts")[0].as_py()
    assert first.timestamp() == 1_700_000_000.5


def test_keys_with_point_zero_are_written_as_whole_numbers(tmp_path: Path) -> None:
    UNUSUAL["whole numbers with .0"][0](tmp_path)
    start_spec([str(tmp_path / "log.csv")], StartOptions(out=tmp_path / "spec.yaml"))
    keys = set(pq.read_table(tmp_path / "spec-tables" / "log.parquet").column("CustomerID").to_pylist())
    assert keys <= {str(number) for number in range(40)}


def test_prices_hold_from_their_moment_on(tmp_path: Path) -> None:
    """The draft says since when a row of the thing's table holds, with its unit or its zone."""
    for name, expected in {
        "prices over time, in seconds": {"column": "valid_from", "unit": "s", "zone": None},
        "prices over time, with a zone": {"column": "valid_from", "unit": None, "zone": None},
        "prices over time, without a zone": {"column": "valid_from", "unit": None, "zone": "UTC"},
        "prices over time, in German": {"column": "valid_from", "unit": None, "zone": None},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        UNUSUAL[name][0](folder)
        start_spec([str(folder / "log.csv"), str(folder / "prices.csv")], StartOptions(out=folder / "spec.yaml"))
        timestamp = load_spec(folder / "spec.yaml").entities["item"].timestamp
        assert timestamp is not None
        assert timestamp.model_dump() == expected
