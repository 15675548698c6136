"""What is kept is what was found, and research/movielens.md can be printed from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from research.results import LINES, RESULTS, keep, load
from research.results_tables import arms_table, slices_table
from research.value_variants import REFERENCE, table

EVALUATIONS = {
    "movielens-items-fm": 10 + 10, "movielens-items-deepfm": 10 + 10, "movielens-items-others": 4 * 4,
    "movielens-chronological": 3 * 5, "movielens-chronological-fields": 3 * 23, "movielens-rows10": 2 * 8,
    "movielens-rows30": 2 * 8,
}  # fmt: skip


@pytest.mark.parametrize("name", EVALUATIONS)
def test_each_table_of_an_evaluation_is_in_the_page(name: str) -> None:
    page = (ROOT / "research" / "movielens.md").read_text(encoding="utf-8")
    tables = []
    for comparison in load(RESULTS / f"{name}.parquet")["comparisons"]:
        tables.append(arms_table(comparison))
        if name in {"movielens-items-fm", "movielens-items-deepfm"}:
            tables.append(slices_table(comparison))
    for text in tables:
        assert text in page
    assert sum(len(text.splitlines()) - 2 for text in tables) == EVALUATIONS[name]


@pytest.mark.parametrize("name", ["value_variants-fm", "value_variants-deepfm", "value_tuning"])
def test_each_table_of_variants_is_in_the_page(name: str) -> None:
    page = (ROOT / "research" / "movielens.md").read_text(encoding="utf-8")
    lines = table(load(RESULTS / f"{name}.parquet")["summaries"], REFERENCE).splitlines()[2:]
    assert len(lines) > 5
    for line in lines:
        assert line in page


@pytest.mark.parametrize(
    "content",
    [
        {"a": 1, "b": 1.0, "c": [True, None, "x", -0.0, 1e-300, 2**62], "d": {}, "e": [], "f": [[1], [{"g/h~1": "2"}]]},
        [1, 2.5, {"10": {"0.5": None}}],
        "text", 3, {},
    ],
)  # fmt: skip
def test_what_was_kept_is_read_back(content: Any, tmp_path: Path) -> None:
    keep(content, tmp_path / "kept.parquet")
    assert repr(load(tmp_path / "kept.parquet")) == repr(content)


def test_a_large_one_is_a_folder_of_parts_in_order(tmp_path: Path) -> None:
    content = {"runs": [number / 7 for number in range(11 * LINES)]}
    keep(content, tmp_path / "large.parquet")
    assert len(list((tmp_path / "large.parquet").iterdir())) == 11
    assert load(tmp_path / "large.parquet") == content


def test_what_is_kept_anew_takes_the_place_of_folder_and_file(tmp_path: Path) -> None:
    """A set that was run again could not be kept over its folder of parts."""
    large = {"runs": [number / 7 for number in range(LINES + 1)]}
    for content in (large, {"x": 1.5}, large, large):
        keep(content, tmp_path / "kept.parquet")
        assert load(tmp_path / "kept.parquet") == content
    assert [path.name for path in tmp_path.iterdir()] == ["kept.parquet"]


@pytest.mark.parametrize("content", [{"x": float("nan")}, {"by_seed": {"0": 1.0, "1": 2.0}}])
def test_what_would_come_back_otherwise_is_not_kept(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would not hold what was given"):
        keep(content, tmp_path / "kept.parquet")
    assert list(tmp_path.iterdir()) == []


def test_duckdb_reads_them_as_they_are() -> None:
    query = f"SELECT avg(number) FROM '{RESULTS / 'movielens-items-fm.parquet'}' WHERE path LIKE '/comparisons/0/arms/0/runs/%/metrics/all/auc'"
    assert round(duckdb.sql(query).fetchall()[0][0], 4) == 0.7477  # FM, plain: the first table of research/movielens.md


def test_every_result_is_read() -> None:
    found = [path for path in sorted(RESULTS.rglob("*.parquet")) if path.parent.suffix != ".parquet"]
    assert len(found) > 40
    for path in found:
        assert load(path)
