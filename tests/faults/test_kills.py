"""Killed before a file-system call and run again, a step ends where an undisturbed one ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.suite import STEPS, Outcome, Suite, markdown


def test_some_kills_of_each_way_to_write_tables(tmp_path: Path) -> None:
    outcomes = list(Suite(tmp_path).run(("re-ingest", "append"), most_kills=4))
    assert [(one.step, one.kills, one.other) for one in outcomes] == [("re-ingest", 4, {}), ("append", 4, {})]


@pytest.mark.slow
def test_every_kill_of_every_step(tmp_path: Path) -> None:
    outcomes = list(Suite(tmp_path).run())
    assert {one.step: one.other for one in outcomes} == {step: {} for step in STEPS}


def test_the_table_counts_what_differs() -> None:
    table = markdown([Outcome("ingest", 9, 9), Outcome("train", 20, 4, {3: ["bundles/x"]})])
    assert table.splitlines()[2:] == ["| ingest | 9 | 9 | 0 |", "| train | 20 | 4 | 1 |", "| all | 29 | 13 | 1 |"]
